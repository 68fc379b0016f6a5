// The whole sequence backward: pieces side by side, then their sums.
#pragma once
#include "backward_piece.h"

namespace rnnx {
inline namespace RNNX_TARGET {

// Packs one panel of one group, whichever of the three products it is of.
template <class T>
void pack(const Backward<T>& b, const BackwardPacked<T>& packed, int64_t k, int64_t i) {
  const int64_t gates = b.cache.empty() ? packed.gates.places.size() : 0, state = packed.state.places.size();
  const auto to = [&](const Packed<T>& p, const Place& place) { return p.data + k * p.size + place.at; };
  if (i < gates) {
    const Place& place = packed.gates.places[i];
    pack_gate(b.sizes, b.in, k, place, to(packed.gates, place));
  } else if (i < gates + state) {
    const Place& place = packed.state.places[i - gates];
    pack_state(b.sizes, b.in, k, place, to(packed.state, place));
  } else {
    const Place& place = packed.inputs.places[i - gates - state];
    pack_input(b.sizes, b.in, k, place, to(packed.inputs, place));
  }
}

template <class T>
bool backward(const Backward<T>& b, int64_t threads, const Parallel& parallel) {
  const Sizes& z = b.sizes;
  const Division division(z, threads);
  std::vector<Sums<T>> sums(z.groups * division.pieces);
  const auto lay = [&](Arena& arena) {
    for (size_t i = 0; i < sums.size(); i++) {
      sums[i].lay(z, arena);  // the results themselves take the place of the first piece's, where they are asked for
      const int64_t k = i / division.pieces;
      if (i % division.pieces || !b.wants_weights) continue;
      sums[i].w_x = b.d_w_x + k * Sums<T>::w_x_size(z);
      sums[i].bias = b.d_bias + k * Sums<T>::bias_size(z);
      sums[i].w_h = b.d_w_h + k * Sums<T>::w_h_size(z);
      sums[i].rows = b.d_rows + k * Sums<T>::rows_size(z);
    }
    return BackwardPacked<T>(b, arena);
  };
  Arena arena;
  lay(arena);
  const Scratch scratch(arena.used);
  arena = {scratch.data()};
  const BackwardPacked<T> packed = lay(arena);

  const int64_t panels =
      (b.cache.empty() ? packed.gates.places.size() : 0) + packed.state.places.size() + packed.inputs.places.size();
  const int64_t bytes = z.groups * (packed.gates.size + packed.state.size + packed.inputs.size) * int64_t(sizeof(T));
  const bool done = pack_all(parallel, bytes, z.groups * panels,
                             [&](int64_t i) { pack(b, packed, i / panels, i % panels); }) &&
                    every(parallel, sums.size(), [&](int64_t i) {
                      const Piece<T> piece(z, b.in, division, i);
                      BackwardPiece<T>(b, packed, piece, sums[i]).run();
                    });
  return done && every(parallel, z.groups, [&](int64_t k) {  // always in the same order, so always the same bits
    const auto add = [&](T* Sums<T>::*what, int64_t count) {
      for (int64_t p = 1; p < division.pieces; p++)
        for (int64_t j = 0; j < count; j++)
          (sums[k * division.pieces].*what)[j] += (sums[k * division.pieces + p].*what)[j];
    };
    if (b.wants_weights) {
      add(&Sums<T>::w_x, Sums<T>::w_x_size(z));
      add(&Sums<T>::bias, Sums<T>::bias_size(z));
      add(&Sums<T>::w_h, Sums<T>::w_h_size(z));
      add(&Sums<T>::rows, Sums<T>::rows_size(z));
    }
    add(&Sums<T>::fresh, Sums<T>::fresh_size(z));
    for (size_t s = 0; s < b.d_fresh.size(); s++)
      std::copy_n(sums[k * division.pieces].fresh + s * z.units, z.units, b.d_fresh[s] + k * z.units);
  });
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
