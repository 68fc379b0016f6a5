"""The engine of Newton's method: the whole trajectory forward, and exact derivatives at the states it reached."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels import affine
from rnnx.kernels.affine_tree import tree
from rnnx.scans.jacobian import SOLVES, linear, ravel, unravel
from rnnx.scans.loop import Loop, before
from rnnx.scans.sequential import select
from rnnx.types import powers, state_of


class Report(NamedTuple):
    """How Newton's method ended, for each sequence."""

    iterations: Array  # int [], updates of the whole trajectory
    residual: Array  # [], max |s_t - f(s_{t-1}, x_t)| / (1 + max |s|) when it ended
    converged: Array  # bool []; False: the states come from a sequential pass


@dataclass(frozen=True)
class Trajectory(Loop):
    """The engine: the trajectory by Newton's method, derivatives at the states it reached."""

    method: Any  # Newton

    def plain(self, batch: int) -> bool:
        """Never: JAX cannot differentiate a loop of unknown length."""
        del batch
        return False

    def forward(self, weights: Any, xs: Any, state: Any, marks: Any, *, platform: str = "") -> tuple[Any, Any, Any]:
        method, solve = self.method, self.method.solve
        steps, batch = jax.tree.leaves(xs)[0].shape[:2]
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), state)
        first = jax.vmap(partial(ravel, solve=solve))(state)
        tolerance = method.tolerance or 64 * float(jnp.finfo(first.dtype).eps)

        def update(flats: Array) -> tuple[Array, Array]:
            """The next iterate, and how well this one solves its own equations    [T, B, S], [B]"""
            with jax.default_matmul_precision("highest"):  # the residual of coarse products never gets small
                new, jacobian = self._linear(weights, xs, flats, first, marks, like)
                better = self._solution(new, jacobian, flats, first, marks, platform)
            return better, jnp.max(jnp.abs(flats - new), (0, 2)) / (1 + jnp.max(jnp.abs(flats), (0, 2)))

        def going(carry: Any) -> Array:
            count, _, residual, _ = carry
            return (count <= method.limit) & jnp.any(~(residual <= tolerance))  # NaN is no convergence

        def iterate(carry: Any) -> Any:
            """One more look; the one that finds a sequence converged still hands on the better iterate it has."""
            count, flats, seen, iterations = carry
            new, residual = update(flats)
            settled, done = seen <= tolerance, residual <= tolerance
            flats = jnp.where(settled[None, :, None], flats, new)
            residual = jnp.where(settled, seen, residual)
            updated = ~done & ~settled & (count < method.limit)
            return count + 1, flats, residual, iterations + updated.astype(iterations.dtype)

        begun = first
        if marks[0] is not None:  # a state that is discarded is no guess either
            fresh = ravel(self.cell.initial_state(weights), solve)
            begun = jax.vmap(jnp.where, (0, None, 0))(marks[0][-1 if self.reverse else 0], fresh, first)
        guess = jnp.broadcast_to(begun[None], (steps, *first.shape))
        begin = jnp.int32(0), guess, jnp.full(batch, jnp.inf, first.dtype), jnp.zeros(batch, jnp.int32)
        _, flats, residual, iterations = jax.lax.while_loop(going, iterate, begin)
        converged = residual <= tolerance
        states = jax.vmap(jax.vmap(partial(unravel, like=like, solve=solve)))(flats)

        def loop(carry: Any) -> Any:
            """The one trip made where some sequence has not converged: a `cond` would run under `vmap` for all."""
            _, states = carry
            _, instead, _ = Loop.forward(self, weights, xs, state, marks, platform=platform)
            return jnp.zeros((), bool), jax.vmap(jax.vmap(select), (None, 0, 0))(converged, states, instead)

        _, states = jax.lax.while_loop(lambda carry: carry[0], loop, (jnp.any(~converged), states))
        final = jax.tree.map(lambda a: a[0 if self.reverse else -1], states)
        told = Report(iterations, jnp.where(jnp.isnan(residual), jnp.inf, residual), converged)
        return final, states, jax.tree.map(lambda a: jnp.broadcast_to(a[None], (steps, *a.shape)), told)

    def _linear(self, weights, xs, flats, first, marks, like) -> tuple[Array, Array]:
        """(f(s_{t-1}, x_t), J_t) for all steps; a step that is not valid hands s_{t-1} on."""
        starts, valid = marks
        solve = self.method.solve
        previous = before(first, flats, self.reverse)
        fresh = None if starts is None else ravel(self.cell.initial_state(weights), solve)

        def one(previous: Array, x: Any, start: Any, real: Any) -> tuple[Array, Array]:
            old = previous if fresh is None else jnp.where(start, fresh, previous)
            new, jacobian = linear(self.cell, weights, unravel(old, like, solve), x, solve)
            return new if real is None else jnp.where(real, new, previous), jacobian

        return jax.vmap(jax.vmap(one))(previous, xs, starts, valid)

    def _solution(self, new, jacobian, flats, first, marks, platform: str) -> Array:
        """The next iterate    [T, B, S]

        Solved for what it adds, d_t = (f(s_{t-1}) - s_t) + J_t d_{t-1}: rounding is then relative to that.
        """
        jacobian = (1 - self.method.damping) * jacobian
        return flats + self._affine(jacobian, new - flats, jnp.zeros_like(first), marks, platform)

    def _affine(self, jacobian, b, first, marks, platform: str) -> Array:
        """s_t = J_t s_{t-1} + b_t of each sequence; where one starts, b is all there is    [T, B, S]"""
        way = affine.loop if platform == "cpu" else tree

        def one(jacobian, b, first, starts, valid):
            how = {"fresh": jnp.zeros_like(first), "starts": starts, "valid": valid, "reverse": self.reverse}
            return affine.recurrence(SOLVES[self.method.solve], jacobian, b, first, way=way, **how)

        return jax.vmap(one, (1, 1, 0, 1, 1), 1)(jacobian, b, first, *marks)

    def backward(
        self, primals: Any, states: Any, cache: Any, cotangents: Any, *, needs: tuple[bool, bool], platform: str = ""
    ) -> tuple[Any, Any, Any]:
        """In parallel too where the J of the forward pass is the true one; else, and on a CPU, as Deferred does."""
        del cache
        if platform == "cpu" or not self._exact():
            return super().backward(primals, states, None, cotangents, needs=needs, platform=platform)
        weights, xs, state, marks = primals
        solve = self.method.solve
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), state)
        flat = jax.vmap(partial(ravel, solve=solve))
        first, flats = flat(state), jax.vmap(flat)(states)
        _, jacobian = self._linear(weights, xs, flats, first, marks, like)

        def solution(b: Array, first: Array) -> Array:
            return self._affine(jacobian, b, first, marks, platform)

        d_final, d_states = cotangents
        last = 0 if self.reverse else -1
        ends = jax.vmap(flat)(d_states).at[last].add(flat(d_final))
        adjoint, d_first = jax.vjp(solution, jnp.zeros_like(flats), first)[1](ends)
        starts, valid = marks
        if valid is not None:
            adjoint = jax.vmap(jax.vmap(jnp.where))(valid, adjoint, jnp.zeros_like(adjoint))

        def again(weights: Any, xs: Any) -> Array:
            fresh = None if starts is None else self.cell.initial_state(weights)

            def one(old: Any, x: Any, start: Any) -> Array:
                old = old if start is None else select(start, fresh, old)
                return ravel(self.cell.step(weights, old, x)[0], solve)

            return jax.vmap(jax.vmap(one))(before(state, states, self.reverse), xs, starts)

        d_weights, d_xs = jax.vjp(again, weights, xs)[1](adjoint)
        d_state = jax.vmap(partial(unravel, like=like, solve=solve))(d_first)
        return d_weights if needs[0] else None, d_xs if needs[1] else None, d_state

    def _exact(self) -> bool:
        """Whether nothing is left out of J."""
        if self.method.solve == "full":
            return True
        if "pointwise" not in powers(self.cell):
            return False
        diagonal = jax.eval_shape(lambda: _told(self.cell).matrix).ndim == 2
        return diagonal and (self.method.solve == "block" or len(jax.tree.leaves(state_of(self.cell))) == 1)


def _told(cell: Any) -> Any:
    return cell.recurrent(cell.prepare(cell.init(jax.random.key(0))))
