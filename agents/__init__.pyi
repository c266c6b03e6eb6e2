from .agent import Agent as Agent, AgentConfig as AgentConfig
from .base import (
    FAMILIES as FAMILIES,
    BaseAgent as BaseAgent,
    register_family as register_family,
)
from .plan import TrainingPlan as TrainingPlan
from .registry import (
    agent_of as agent_of,
    config_from_json as config_from_json,
    list_agents as list_agents,
    load_agent as load_agent,
    make_agent as make_agent,
    make_config as make_config,
)
from .resuming import resume as resume
from .sb3.agent import BaselineAgent as BaselineAgent
from .sb3.algorithms import (
    BASELINES as BASELINES,
    Algorithm as Algorithm,
    register_baseline as register_baseline,
)
from .sb3.config import BaselineConfig as BaselineConfig
from .search.agent import SearchAgent as SearchAgent
from .search.config import SearchConfig as SearchConfig
from .training import (
    run_config as run_config,
    train as train,
)
