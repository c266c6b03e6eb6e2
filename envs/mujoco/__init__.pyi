from .task import CompiledMujoco as CompiledMujoco
