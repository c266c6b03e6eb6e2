"""evosax + gymnax: OpenAI-ES on a gymnax environment, as one jitted JAX program.

Variants:
    documented: `GymnaxProblem` and `Open_ES` under one `lax.scan` over generations, as in evosax's
        examples. Observation statistics are off, as everywhere in this comparison.
    sharded: rollouts written for speed: no automatic reset, no keys per step, episodes of fixed
        length with a mask, the population spread over two CPU devices. The policy is evosax's
        network, vmapped.
    lanes: like sharded, but the policy is written out, sum by sum, over one array per parameter.
        XLA then fuses a whole step of policy and environment into one SIMD loop.

In all variants one call does many generations, so that Python's dispatch is paid only once.
"""

from __future__ import annotations

import os

from protocol import HIDDEN, SIZES, Played, options, serve, unpack

OPTIONS = options(("documented", "sharded", "lanes"))
os.environ["XLA_FLAGS"] = "--xla_cpu_prefer_vector_width=512"
if OPTIONS.variant != "documented":
    os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"

import gymnax  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from evosax.algorithms import Open_ES  # noqa: E402
from evosax.problems import GymnaxProblem  # noqa: E402
from evosax.problems.networks import MLP  # noqa: E402
from jax import lax  # noqa: E402
from jax.sharding import AxisType, PartitionSpec  # noqa: E402

STEPS_PER_CALL = 4_000_000  # approximate number of steps that a call computes


def greedy(logits, key=None):
    """Return the action with the largest output."""
    return jnp.argmax(logits, axis=-1)


class Contest:
    """One environment, one population."""

    def __init__(self):
        self.inputs, self.outputs = SIZES[OPTIONS.env]
        self.env, self.params = gymnax.make(OPTIONS.env)
        self.limit = self.params.max_steps_in_episode
        self.network = MLP(layer_sizes=(HIDDEN, self.outputs), output_fn=greedy)
        observation, _ = self.env.reset(jax.random.key(0))
        template = self.network.init(jax.random.key(0), observation, jax.random.key(0))
        self.strategy = Open_ES(
            population_size=OPTIONS.candidates,
            solution=template,
            optimizer=optax.sgd(1e-12),
            std_schedule=optax.constant_schedule(OPTIONS.spread),
        )
        self.strategy_params = self.strategy.default_params
        w, b, v, c = unpack(np.asarray(OPTIONS.center, np.float32))
        center = {
            "params": {
                "Dense_0": {"kernel": jnp.asarray(w.T), "bias": jnp.asarray(b)},
                "Dense_1": {"kernel": jnp.asarray(v.T), "bias": jnp.asarray(c)},
            }
        }
        self.state = self.strategy.init(jax.random.key(1), center, self.strategy_params)
        self.key = jax.random.key(2)
        size = OPTIONS.candidates * OPTIONS.episodes * self.limit
        self.generations = max(1, STEPS_PER_CALL // size)
        evaluate = getattr(self, OPTIONS.variant)()

        def generation(state, key):
            ask, play, tell = jax.random.split(key, 3)
            population, state = self.strategy.ask(ask, state, self.strategy_params)
            returns, steps = evaluate(play, population)
            state, _ = self.strategy.tell(tell, population, -returns, state, self.strategy_params)
            return state, steps

        def generations(state, key):
            keys = jax.random.split(key, self.generations)
            state, steps = lax.scan(generation, state, keys)
            return state, steps.sum()

        self.run = jax.jit(generations)

    def play(self):
        """Play several generations in one call."""
        self.key, key = jax.random.split(self.key)
        self.state, steps = self.run(self.state, key)
        jobs = OPTIONS.candidates * OPTIONS.episodes * self.generations
        return Played(int(steps), jobs, self.generations, jobs * self.limit)

    def documented(self):
        """Return the evaluation by evosax's own problem class."""
        problem = GymnaxProblem(
            OPTIONS.env,
            self.network,
            num_rollouts=OPTIONS.episodes,
            use_normalize_obs=False,
        )
        state = problem.init(jax.random.key(3))

        def evaluate(key, population):
            returns, _, _ = problem.eval(key, population, state)
            return returns, jnp.abs(returns).sum() * OPTIONS.episodes  # a reward is ±1 a step

        return evaluate

    def scan_episodes(self, act, key, count):
        """Play to the limit with a mask; give returns (count, episodes) and the unmasked steps."""
        keys = jax.random.split(key, OPTIONS.episodes)
        _, starts = jax.vmap(self.env.reset_env, (0, None))(keys, self.params)
        jobs = count * OPTIONS.episodes
        states = jax.tree.map(
            lambda x: jnp.tile(jnp.broadcast_to(x, (OPTIONS.episodes,)), count), starts
        )
        step = jax.vmap(lambda state, action: self.env.step_env(key, state, action, self.params))

        def turn(carry, _):
            states, returns, alive, steps = carry
            _, states, rewards, done, _ = step(states, act(states))
            return (states, returns + rewards * alive, alive * (1 - done), steps + alive), None

        zeros = jnp.zeros(jobs)
        carry, _ = lax.scan(turn, (states, zeros, zeros + 1, zeros), None, length=self.limit)
        return carry[1].reshape(count, OPTIONS.episodes).mean(axis=1), carry[3].sum()

    def sharded(self):
        """Return the evaluation with evosax's network, vmapped over candidates and episodes."""
        apply = jax.vmap(jax.vmap(self.network.apply, (None, 0, None)), (0, 0, None))

        def evaluate(key, population):
            count = len(jax.tree.leaves(population)[0])

            def act(states):
                rows = jax.vmap(self.env.get_obs)(states).reshape(count, OPTIONS.episodes, -1)
                return apply(population, rows, key).reshape(-1)

            return self.scan_episodes(act, key, count)

        return self.spread_out(evaluate)

    def lanes(self):
        """Return the evaluation with the network written out over arrays (jobs,)."""

        def evaluate(key, population):
            layers = population["params"]
            count = len(layers["Dense_0"]["bias"])

            def rows(values):
                flat = jnp.repeat(values.reshape(count, -1), OPTIONS.episodes, axis=0).T
                return list(flat)

            w, b = rows(layers["Dense_0"]["kernel"]), rows(layers["Dense_0"]["bias"])
            v, c = rows(layers["Dense_1"]["kernel"]), rows(layers["Dense_1"]["bias"])

            def act(states):
                seen = list(self.env.get_obs(states))
                hidden = [
                    jnp.tanh(b[h] + sum(w[i * HIDDEN + h] * seen[i] for i in range(self.inputs)))
                    for h in range(HIDDEN)
                ]
                best, action = None, 0
                for o in range(self.outputs):
                    value = c[o] + sum(v[h * self.outputs + o] * hidden[h] for h in range(HIDDEN))
                    action = action if best is None else jnp.where(value > best, o, action)
                    best = value if best is None else jnp.maximum(value, best)
                return action

            return self.scan_episodes(act, key, count)

        return self.spread_out(evaluate)

    def spread_out(self, evaluate):
        """Return an evaluation with half of the population on each of two devices."""
        mesh = jax.make_mesh((2,), ("devices",), axis_types=(AxisType.Auto,))
        everywhere, split = PartitionSpec(), PartitionSpec("devices")

        def half(key, population):
            returns, steps = evaluate(key, population)
            return returns, steps[None]

        both = jax.shard_map(
            half, mesh=mesh, in_specs=(everywhere, split), out_specs=(split, split), check_vma=False
        )

        def whole(key, population):
            returns, steps = both(key, population)
            return returns, steps.sum()

        return whole


if __name__ == "__main__":
    serve(Contest().play, "jax", "evosax", "gymnax")
