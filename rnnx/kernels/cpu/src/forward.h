// The whole sequence forward, for the examples of one piece.
#pragma once
#include "steps.h"

namespace rnnx {
inline namespace RNNX_TARGET {

template <class T>
void forward_piece(const Forward<T>& f, const Packed<T>& packed, const Piece<T>& p) {
  const Sizes& z = f.sizes;
  const bool cached = !f.cache.empty();
  T *repeated, *starts, *own_gates, *changed, *rolling;
  const auto lay = [&](Arena& arena) {
    repeated = arena.take<T>(z.rows * p.numbers);
    starts = arena.take<T>(Gates<T>::starts_size(packed));
    own_gates = arena.take<T>(cached ? 0 : z.gates() * p.numbers);
    changed = arena.take<T>(z.leaves * p.numbers);
    rolling = arena.take<T>(2 * z.leaves * p.numbers);
  };
  Arena arena;
  lay(arena);
  const Scratch scratch(arena.used);
  arena = {scratch.data()};
  lay(arena);
  p.repeat(f.in.rows + p.k * z.rows * z.units, repeated);

  Runner<T> runner(f.program);
  Gates<T> products(p, packed, starts);
  std::vector<const T*> state(z.leaves), before(z.leaves);
  std::vector<T*> gates(z.gates());
  for (int s = 0; s < z.leaves; s++) state[s] = f.in.first[s] + p.at_state();
  for (int i = 0; i < z.rows; i++) runner.input(z.leaves + z.gates() + i, repeated + i * p.numbers);

  for (int64_t visit = 0; visit < z.steps; visit++) {
    const int64_t t = p.step(visit);
    before = state;
    if (p.any_start(t))
      for (int s = 0; s < z.leaves; s++) {
        T* to = changed + s * p.numbers;
        for (int64_t r = 0; r < p.rows; r++)
          std::memcpy(to + r * z.units, p.starts(t, r) ? f.in.fresh[s] + p.k * z.units : state[s] + r * z.units,
                      z.units * sizeof(T));
        before[s] = to;
      }
    for (int g = 0; g < z.gates(); g++) gates[g] = cached ? f.cache[g] + p.at(t) : own_gates + g * p.numbers;
    products.compute(t, before, gates);
    for (int s = 0; s < z.leaves; s++) {
      T* to = f.states[s] ? f.states[s] + p.at(t) : rolling + (2 * s + visit % 2) * p.numbers;
      runner.input(s, before[s]);
      runner.output(s, to);
      state[s] = to;
    }
    for (int g = 0; g < z.gates(); g++) runner.input(z.leaves + g, gates[g]);
    for (size_t i = 0; i < f.stored.size(); i++) runner.output(z.leaves + i, gates[f.stored[i]]);
    p.run(runner, t);
    if (!p.all_valid(t))
      for (int s = 0; s < z.leaves; s++)
        for (int64_t r = 0; r < p.rows; r++)
          if (!p.valid(t, r))
            std::memcpy(const_cast<T*>(state[s]) + r * z.units, before[s] + r * z.units, z.units * sizeof(T));
  }
  for (int s = 0; s < z.leaves; s++) std::memcpy(f.final[s] + p.at_state(), state[s], p.numbers * sizeof(T));
}

template <class T>
bool forward(const Forward<T>& f, int64_t threads, const Parallel& parallel) {
  const Sizes& z = f.sizes;
  Arena arena;
  Packed<T> packed(gate_places<T>(z), z.groups, arena);
  const Scratch scratch(arena.used);
  arena = {scratch.data()};
  packed = Packed<T>(std::move(packed.places), z.groups, arena);
  const Division division(z, threads);
  const int64_t panels = packed.places.size();
  return pack_all(parallel, z.groups * packed.size * int64_t(sizeof(T)), z.groups * panels,
               [&](int64_t i) {
                 const Place& place = packed.places[i % panels];
                 pack_gate(z, f.in, i / panels, place, packed.data + i / panels * packed.size + place.at);
               }) &&
         every(parallel, z.groups * division.pieces, [&](int64_t i) {
           const Piece<T> piece(z, f.in, division, i);
           if (piece.rows) forward_piece(f, packed, piece);
         });
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
