"""The devices of a run: one, several of this process, or those of several processes; and what lies where on them."""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from experiments.exits import BadInput, Interrupted, Lost, NonFinite
from experiments.train.options import WAIT, Settings
from rnnx.training import TrainState, checkpoint, specs

AXIS = "data"
SILENCE = 20  # seconds after which a process that is not heard counts as gone
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
GONE = ("gloo", "nccl", "coordination", "unavailable", "deadline_exceeded", "connection", "heartbeat")


@dataclass(frozen=True)
class Machines:
    """`mesh` is None where all is on one device, and nothing below then changes anything.

    Every process draws, computes and looks alike; process 0 alone writes and prints. What is said to be for all is to
    be called by all, in the same order.
    """

    mesh: jax.sharding.Mesh | None = None
    process: int = 0
    processes: int = 1

    @property
    def first(self) -> bool:
        return self.process == 0

    @property
    def devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    def place(self, states: TrainState) -> TrainState:
        """States of K seeds, the same on every process, on the mesh as `steps_of` takes them. For all."""
        if self.mesh is None:
            return states
        parts = zip(states, specs(self.mesh), strict=True)
        return TrainState(*[self._put(part, spec) for part, spec in parts])

    def everywhere(self, tree: Any) -> Any:
        """Arrays, the same on every process, whole on every device. For all."""
        return tree if self.mesh is None else self._put(tree, jax.P())

    def gather(self, states: Any) -> Any:
        """The inverse of `place`: whole arrays of this process alone, to save. For all."""
        if self.mesh is None:
            return states
        return jax.tree.map(self._whole, states)

    def here(self, tree: Any) -> Any:
        """What is whole on every device (parameters, metrics), for use by this process alone."""
        return tree if self.mesh is None else jax.device_get(tree)

    def of_first(self, tree: Any) -> Any:
        """What process 0 has, where the others have arrays of the same shapes: what it has restored, then to `place`,
        or has measured. For all.
        """
        if self.processes == 1:
            return tree

        def sent(leaf: Any) -> Any:
            if _is_key(leaf):
                return jax.random.wrap_key_data(sent(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
            return self._of_all(np.asarray(leaf))[0]

        return jax.tree.map(sent, tree)

    def any(self, asked: bool) -> bool:
        """Whether any process is. For all."""
        return asked if self.processes == 1 else bool(self._of_all(np.asarray(asked, np.uint8)).any())

    def agree(self, told: Any) -> None:
        """Raises where the processes were not told the same. For all."""
        if self.processes == 1:
            return
        mine = np.array([zlib.crc32(repr((told, self.devices)).encode())], np.uint32)
        found = self._of_all(mine)
        for other in np.flatnonzero(found[:, 0] != found[0, 0]).tolist():
            self.part()
            raise BadInput(
                f"flag --processes={self.processes}: process {other} has other flags or data than process 0; give all "
                "processes the same, but for --process"
            )

    def alone(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, done by process 0 alone, None for the others. Where it raises, all do. For all."""
        wrong = found = None
        if self.first:
            try:
                found = work()
            except Exception as error:
                wrong = error
        if self.any(wrong is not None):
            self.part()
            raise wrong or BadInput(f"flag --process={self.process}: process 0 cannot go on, and tells why")
        return found

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Training; at its end the processes part, and what follows is each one's own. Raises Lost if one is gone."""
        try:
            with self._heard():
                yield
        except (BadInput, Interrupted, NonFinite):  # of which all have heard; who raises else is gone for the others
            self.part()
            raise
        self.part()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:  # XLA's errors are of both kinds
            told = str(error).lower()
            ours = isinstance(error, (checkpoint.NoCheckpoint, checkpoint.OtherTree))
            if self.processes > 1 and not ours and any(word in told for word in GONE):
                raise Lost("another process of this run is gone") from None
            raise

    def part(self) -> None:
        if self.processes > 1:
            jax.distributed.shutdown()

    def _put(self, tree: Any, spec: jax.P) -> Any:
        assert self.mesh is not None
        where = jax.sharding.NamedSharding(self.mesh, spec)

        def put(leaf: Any) -> Any:
            if _is_key(leaf):
                return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
            whole = np.asarray(leaf)
            return jax.make_array_from_callback(whole.shape, where, lambda index: whole[index])

        return jax.tree.map(put, tree)

    def _whole(self, leaf: Any) -> Any:
        if _is_key(leaf):
            return jax.random.wrap_key_data(self._whole(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        if leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        assert self.mesh is not None
        everywhere = jax.sharding.NamedSharding(self.mesh, jax.P())
        return np.asarray(jax.jit(lambda a: a, out_shardings=everywhere)(leaf))

    def _of_all(self, array: np.ndarray) -> np.ndarray:
        """[processes, ...]: the bytes of every process, since not every dtype travels."""
        from jax.experimental import multihost_utils

        whole = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        with self._heard():
            found = np.asarray(multihost_utils.process_allgather(whole))
        return np.frombuffer(found.tobytes(), array.dtype).reshape(self.processes, *array.shape)


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def assemble(settings: Settings) -> Machines:
    """The devices that the flags ask for, all processes together; raises BadInput where there are fewer."""
    if settings.processes is not None:
        _connect(settings)
    processes = settings.processes or 1
    owned = [sorted(jax.local_devices(i), key=lambda device: device.id) for i in range(processes)]
    if settings.devices != "all":
        count = int(settings.devices)
        there = min(map(len, owned))
        if count > there:
            more = f", or set JAX_NUM_CPU_DEVICES={count}" if jax.default_backend() == "cpu" else ""
            where = "there" if processes == 1 else "in some process there"
            raise BadInput(f"flag --devices={count}: {where} {_are(there)}; write at most {there}{more}")
        owned = [some[:count] for some in owned]
    chosen = [device for some in owned for device in some]
    total = len(chosen)
    if settings.batch_size % total:
        near = max(total, settings.batch_size // total * total)
        raise BadInput(f"flag --batch_size={settings.batch_size}: not a multiple of {total} devices; write e.g. {near}")
    if total == 1:
        return Machines()
    mesh = jax.make_mesh((total,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=chosen)
    return Machines(mesh, settings.process or 0, processes)


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _connect(settings: Settings) -> None:
    """Returns when all processes have come together. XLA may end the process if they do not (`watched`)."""
    assert settings.coordinator
    host, port = settings.coordinator.rsplit(":", 1)
    if settings.process == 0 and not settings.coordinator_bind and host not in LOOPBACK:
        raise BadInput(
            f"flag --coordinator={settings.coordinator}: process 0 listens to its own machine alone; to hear others, "
            f"on a network that you trust, write --coordinator_bind={host}"
        )
    bind = settings.coordinator_bind or ("[::1]" if host == "[::1]" else "127.0.0.1")
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM for itself
    try:
        jax.distributed.initialize(
            settings.coordinator,
            settings.processes,
            settings.process,
            initialization_timeout=WAIT,
            heartbeat_timeout_seconds=SILENCE,
            shutdown_timeout_seconds=WAIT,
            coordinator_bind_address=f"{bind}:{port}",
        )
    except (RuntimeError, ValueError):
        raise BadInput(settings.absent) from None
