"""Several agents on equal terms: what is compared, the runs, a table and figures.

In a script, below `if __name__ == "__main__":`, it is

    task, out = make_task("CartPole-v1"), "comparisons/cartpole"
    comparison = Comparison.create(task, ["ars", "ppo"], TrainingPlan(50_000), seeds=range(5))
    runs = run_comparison(comparison, out)
    print(write_table(comparison, runs, out))
    write_figures(comparison, runs, out)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
