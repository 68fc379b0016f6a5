"""From settings to what runs: task, network, learner, batches; every mistake told before anything is written."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax

from experiments.cell_specs import CellSpec
from experiments.exits import BadInput
from experiments.names import FILES
from experiments.train.options import Settings
from rnnx.cells import build as build_cell
from rnnx.cells import spell
from rnnx.networks import Classifier, Forecaster, LanguageModel, Pure, Tagger, stacked
from rnnx.scans import METHODS
from rnnx.tasks import TASKS
from rnnx.tasks.readers import BadFile
from rnnx.training import Clip, Epochs, Fresh, Learner, OfNetwork, Rule, Streams

STEPS = 2000
LENGTHS = {"adding": 100, "copy": 50, "digits": 64, "text": 64, "temporal_order": 100, "multiplication": 100,
           "memorisation": 50, "parity": 20, "delayed_xor": 30, "sentiment": 16, "agreement": 16, "images": 28,
           "series": 48, "recordings": 0, "music": 0}  # fmt: skip


class Stage(NamedTuple):
    """A part of training at one length."""

    task: Any
    data: Any  # of its training split
    plan: Any
    end: int  # the step after its last


class Work(NamedTuple):
    """A whole run, ready."""

    task: Any
    stages: tuple[Stage, ...]
    learner: Learner
    steps: int
    eval_every: int
    cell: str  # in its canonical spelling

    @property
    def selects(self) -> bool:
        """Whether there are data, or draws, to choose the best look by that are not the test split."""
        return "valid" in self.task.splits or not hasattr(self.task, "count")

    @property
    def model(self) -> OfNetwork:
        return self.learner.model  # type: ignore[return-value]

    @property
    def parameters(self) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.model.network.shapes))


def prepare(settings: Settings) -> Work:
    task = task_of(settings)
    network = Pure(lambda rngs: network_of(settings, task, rngs))
    steps, stages = _stages(settings, task)
    learner = _learner(settings, task, network, steps)
    _rehearse(settings, learner, stages)
    cell = build_cell(settings.cell.name, settings.cell.options, task.inputs, settings.units)
    return Work(task, stages, learner, steps, settings.eval_every or _looks(settings, steps), spell(cell))


def _looks(settings: Settings, steps: int) -> int:
    """Updates between looks where nobody asked for a number: at steps of flows, so that few sizes of chunks compile."""
    every = max(1, steps // 20)
    return -(-every // settings.flow_every) * settings.flow_every if settings.flow_every else every


def task_of(settings: Settings, length: int | None = None) -> Any:
    """The task, at its own length or another."""
    name, options = settings.task
    cls = TASKS[name]
    known = {field.name for field in dataclasses.fields(cls)} - {"length", "variant", "file"}
    for word in options:
        if word not in known:
            told = f"its options are {', '.join(sorted(known))}" if known else "it has no options"
            raise BadInput(f"flag --task={settings.task}: unknown option {word!r}; {told}")
    if length is None:
        length = LENGTHS[name] if settings.length is None else settings.length
    source = {"file": settings.data} if settings.data else {}
    try:
        return cls(length, settings.variant, **source, **options)
    except OSError as error:
        where = "" if error.filename in (None, settings.data) else f"{error.filename}: "
        told = f"{where}{error.strerror}; write the path of {FILES[name]}"
        raise BadInput(f"flag --data={settings.data}: {told}") from None
    except BadFile as error:
        raise BadInput(f"flag --data={settings.data}: {error}") from None
    except (ModuleNotFoundError, TypeError) as error:
        raise BadInput(f"flag --task={settings.task}: {error}") from None
    except ValueError as error:
        first = str(error).split(";")[0]
        flag = f"--length={length}" if "length" in first else f"--task={settings.task}"
        if "file is not given" in first:
            flag = "--data"
        raise BadInput(f"flag {flag}: {error}") from None


# ------------------------------------------------------------------------------------------- networks


def kind_of(task: Any) -> str:
    """Which network answers a task."""
    if task.answers == "end":
        return "classifier"
    if hasattr(task, "statistics"):
        return "forecaster"
    return "language_model" if task.symbols and getattr(task, "continuous", False) else "tagger"


def network_of(settings: Settings, task: Any, rngs: Any) -> Any:
    """The module itself; raises BadInput where flags and task do not fit."""
    kind = kind_of(task)
    if settings.bidirectional and kind in ("language_model", "forecaster"):
        raise BadInput(
            f"flag --bidirectional: --task={settings.task} predicts what comes next, which a backward layer would "
            "read; leave it out"
        )
    if settings.pool != "last" and kind != "classifier":
        raise BadInput(f"flag --pool={settings.pool}: --task={settings.task} asks at every step; leave it out")
    if settings.embedding and kind != "language_model":
        raise BadInput(f"flag --embedding={settings.embedding}: --task={settings.task} has none; leave it out")
    inputs = task.inputs
    if kind == "language_model":
        inputs = settings.embedding or min(64, inputs)
    elif kind == "forecaster":
        inputs = Forecaster.reads(inputs, task.season)
    method = None if settings.method == "auto" else METHODS[settings.method]()

    def make(inputs: int, units: int) -> Any:
        cell = build_cell(settings.cell.name, settings.cell.options, inputs, units)
        reason = method.refuses(cell) if method else None
        if reason:
            raise BadInput(f"flag --method={settings.method}: it cannot take --cell={settings.cell}: {reason}")
        return cell

    between = {name: getattr(settings, name) for name in ("residual", "norm", "dropout", "input_dropout")}
    try:
        body = stacked(make, inputs, settings.units, settings.layers, bidirectional=settings.bidirectional,
                       method=method, rngs=rngs, **between)  # fmt: skip
    except (TypeError, ValueError) as error:
        told = str(error).replace(".recurrent_init", ".init")  # the word of the flag
        raise BadInput(f"flag --cell={settings.cell}: {told}") from None
    if kind == "classifier":
        return Classifier(body, task.outputs, pool=settings.pool, rngs=rngs)
    if kind == "language_model":
        return LanguageModel(body, task.outputs, rngs=rngs)
    if kind == "forecaster":
        return Forecaster(body, *task.statistics(), season=task.season, free=task.steps - task.length, rngs=rngs)
    return Tagger(body, task.outputs, bias=getattr(task, "bias", 0.0), rngs=rngs)


# ------------------------------------------------------------------------------------------- learning


def _learner(settings: Settings, task: Any, network: Pure, steps: int) -> Learner:
    name, options = settings.optimizer
    try:
        rule = Rule(
            optimizer=name,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule,
            warmup=settings.warmup,
            steps=0 if settings.schedule == "constant" else steps,
            end=settings.end,
            weight_decay=settings.weight_decay,
            noise=settings.noise,
            options=tuple(options.items()),
        )
    except ValueError as error:
        flag = {"Rule.steps": f"--warmup={settings.warmup}", "Rule.end": f"--end={settings.end}"}
        told = flag.get(str(error).split(" ")[0], f"--optimizer={CellSpec(name, options)}")
        raise BadInput(f"flag {told}: {error}") from None
    streams = _streams(task)
    example = jax.eval_shape(lambda: task.sample(task.load("train"), jax.random.key(0))) if streams else None
    return Learner(
        model=OfNetwork(network, task.loss),
        rule=rule,
        clip=Clip(settings.clip_norm, settings.clip_value, settings.clip_block),
        penalty=settings.penalty,
        squared=settings.penalty_form == "squares",
        carry=settings.batch_size if streams else 0,
        on_nonfinite=settings.on_nonfinite,
        example=example,
    )


def _rehearse(settings: Settings, learner: Learner, stages: tuple[Stage, ...]) -> None:
    """Trace one update of every stage, so that what cannot run says so now."""
    try:
        state = jax.eval_shape(learner.init, jax.random.key(0))
        for stage in stages:
            batch = jax.eval_shape(stage.plan.fetch, stage.data, stage.plan.draw(0, 0))
            jax.eval_shape(learner.update, state, batch, jax.ShapeDtypeStruct((), bool))
    except NotImplementedError as error:
        raise BadInput(f"flag --method={settings.method}: {error}") from None


def _streams(task: Any) -> bool:
    """Whether the state is carried along one long text."""
    return kind_of(task) == "language_model"


def _stages(settings: Settings, task: Any) -> tuple[int, tuple[Stage, ...]]:
    """(updates in all, the parts of the curriculum)"""
    tasks = [task_of(settings, length) for length in settings.curriculum] + [task]
    for other in tasks:
        if (other.inputs, other.outputs) != (task.inputs, task.outputs):
            raise BadInput(
                f"flag --curriculum={','.join(map(str, settings.curriculum))}: at length {other.length} the task has "
                f"{other.inputs} inputs, at {task.length} {task.inputs}; write lengths at which they agree"
            )
    plans = []
    for other in tasks:
        data = other.load("train")
        plans.append((other, data, _plan(settings, other, data)))
    steps = settings.steps or STEPS
    if settings.epochs:
        per_epoch = plans[-1][2].per_epoch
        if not per_epoch:
            raise BadInput(
                f"flag --epochs={settings.epochs}: --task={settings.task} is drawn without end; write --steps"
            )
        steps = settings.epochs * per_epoch
    ends = [steps * (i + 1) // len(plans) for i in range(len(plans))]
    return steps, tuple(Stage(task, data, plan, end) for (task, data, plan), end in zip(plans, ends, strict=True))


def _plan(settings: Settings, task: Any, data: Any) -> Any:
    if not hasattr(task, "count"):
        if settings.buckets > 1:
            raise BadInput(f"flag --buckets={settings.buckets}: --task={settings.task} draws sequences of one length")
        return Fresh(task, settings.batch_size)
    try:
        if _streams(task):
            return Streams(task, data, settings.batch_size)
        return Epochs(task, data, settings.batch_size, settings.buckets)
    except ValueError as error:
        raise BadInput(f"flag --batch_size={settings.batch_size}: {error}") from None
