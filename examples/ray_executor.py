"""Copy on a Ray cluster: python ray_executor.py [s3://bucket/prefix].

`RayExecutor` makes tasks of Ray what `executor=` takes.  It needs `pip install ray`; on a cluster,
`ray.init()` finds that, and the nodes need aioobs and the credentials of the store.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import ray
from place import place

import aioobs.sync as mox

if TYPE_CHECKING:
    from collections.abc import Callable


@ray.remote
def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


class RayExecutor(Executor):
    """Runs each call as a task of Ray, as many at a time as the cluster has processors."""

    def __init__(self) -> None:
        self.num_workers = int(ray.cluster_resources()["CPU"])

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = call.remote(fn, args, kwargs).future()
        return future


def main(url: str) -> None:
    for number in range(5):
        mox.file.write(f"{url}/samples/{number}.txt", f"sample {number}\n")
    with RayExecutor() as executor:
        mox.file.copy_parallel(f"{url}/samples", f"{url}/copy", executor=executor)
        print(mox.file.list_directory(f"{url}/copy"))
        # A plan can be looked at, kept and divided before it is run.
        plan = mox.plan_copy(f"{url}/copy", f"{url}/moved")
        print(len(plan), "files", plan.bytes, "bytes")
        mox.run_copy(plan, executor=executor, move=True)
    print(mox.file.list_directory(url))


if __name__ == "__main__":
    # Before Ray starts, so that its workers have the same environment.
    with place() as url:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            main(url)
        finally:
            ray.shutdown()
