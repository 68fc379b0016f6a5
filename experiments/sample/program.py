"""The sampling itself: load, write, show."""

import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import exits, tables
from experiments.exits import BadInput
from experiments.interrupts import Interrupts
from experiments.record import SCHEMA
from experiments.run_directory import claim_file, write
from experiments.sample.options import PROGRAM, Settings
from experiments.train.build import kind_of
from experiments.train.load import Run, load

Symbols = Sequence[int]  # positions in the alphabet


def run(settings: Settings) -> int:
    """The exit status of the program."""
    return Interrupts().run(lambda: _run(settings))


def _run(settings: Settings) -> int:
    out = claim_file(settings.out, PROGRAM) if settings.out else None
    trained = load(settings.run, settings.which, settings.data)
    task = trained.work.task
    if kind_of(task) != "language_model":
        raise BadInput(
            f"flag --run={settings.run}: a run of --task={trained.settings.task}, which writes no text; write a run "
            f"of --task=text, or see how good this one is: python -m experiments.evaluate --run={settings.run}"
        )
    place = _place(settings, trained)
    if settings.top_k > len(task.alphabet):
        many = len(task.alphabet)
        raise BadInput(f"flag --top_k={settings.top_k}: there are {many} symbols; write at most {many}")
    prompt = positions(settings, task.alphabet)
    if settings.dry_run:
        sys.stdout.write(describe(settings, trained, place))
        return exits.OK
    params = jax.tree.map(lambda leaf: leaf[place], trained.params)
    shown = prompt if settings.prompt is not None else []
    passages = [spelled([*shown, *one], task.alphabet) for one in drawn(settings, trained, params, prompt)]
    if out:
        write(out, tables.to_json(_answer(settings, trained, place, passages), indent=1))
    told = "\n".join(passage if passage.endswith("\n") else f"{passage}\n" for passage in passages)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(told.encode(encoding, "replace").decode(encoding))
    return exits.OK


def drawn(settings: Settings, trained: Run, params: Any, prompt: Symbols) -> list[Symbols]:
    """What is written after the prompt, seed by seed."""

    @jax.jit
    def write_on(params: Any, prompt: jax.Array, keys: jax.Array, temperature: jax.Array) -> jax.Array:
        model = trained.work.model.network.merge(params)

        def one(key: jax.Array) -> jax.Array:
            return model.sample(prompt, settings.symbols, key, temperature=temperature, top_k=settings.top_k)[1]

        return jax.vmap(one)(keys)

    keys = jax.vmap(jax.random.key)(np.array(settings.seeds, np.uint32))
    found = write_on(params, jnp.array(prompt, jnp.int32), keys, jnp.asarray(settings.temperature, float))
    return np.asarray(found).tolist()


def positions(settings: Settings, alphabet: Sequence[str | int]) -> Symbols:
    """The prompt in the alphabet of the text: characters, or bytes."""
    of_bytes = isinstance(alphabet[0], int)
    places = {symbol: i for i, symbol in enumerate(alphabet)}
    if settings.prompt is None:
        return [places.get(ord("\n") if of_bytes else "\n", 0)]
    given: Sequence[str | int] = list(settings.prompt.encode()) if of_bytes else settings.prompt
    for symbol in given:
        if symbol not in places:
            told = f"byte {symbol}" if of_bytes else repr(symbol)
            known = repr(spelled(range(len(alphabet)), alphabet))
            known = known if len(known) <= 200 else f"{known[:200]} ... ({len(alphabet)} in all)"
            raise BadInput(f"flag --prompt: training never met {told}; write symbols of {known}")
    return [places[symbol] for symbol in given]


def spelled(symbols: Symbols, alphabet: Sequence[str | int]) -> str:
    """As text; bytes that are no UTF-8 become U+FFFD."""
    found: list[Any] = [alphabet[i] for i in symbols]
    return bytes(found).decode(errors="replace") if isinstance(alphabet[0], int) else "".join(found)


def _place(settings: Settings, trained: Run) -> int:
    """Where in the run's seeds the network is."""
    seeds = trained.settings.seeds
    if settings.seed_of_run is None:
        return 0
    if settings.seed_of_run not in seeds:
        told = ", ".join(map(str, seeds[:20])) + (" ..." if len(seeds) > 20 else "")
        raise BadInput(f"flag --seed_of_run={settings.seed_of_run}: the run has no such seed; write one of {told}")
    return seeds.index(settings.seed_of_run)


def _told(settings: Settings, trained: Run, place: int) -> dict[str, Any]:
    """What determines the passages."""
    return {
        "run": str(trained.path),
        "which": trained.which,
        "seed_of_run": trained.settings.seeds[place],
        "step": trained.steps[place],
        "variant": trained.settings.variant,
        "cell": trained.work.cell,
        "prompt": settings.prompt,
        "symbols": settings.symbols,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
    }


def _answer(settings: Settings, trained: Run, place: int, passages: list[str]) -> dict[str, Any]:
    """All that is known, for JSON."""
    rows = [{"seed": seed, "text": text} for seed, text in zip(settings.seeds, passages, strict=True)]
    return {"schema": SCHEMA, "program": PROGRAM, **_told(settings, trained, place), "passages": rows}


def describe(settings: Settings, trained: Run, place: int) -> str:
    """What --dry_run says."""
    told = _told(settings, trained, place) | {"seeds": ",".join(map(str, settings.seeds)), "out": settings.out}
    lines = [f"{name} = {value!r}" if name == "prompt" else f"{name} = {value}"
             for name, value in told.items() if value is not None]  # fmt: skip
    many = len(settings.seeds)
    lines += ["", f"{many} passages of {settings.symbols} symbols, {trained.work.parameters} parameters"]
    return "\n".join(lines) + "\n"
