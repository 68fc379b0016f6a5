// How the weights of a cell are cut into panels, and packed once for a whole sequence.
#pragma once
#include <vector>

#include "plan.h"
#include "product.h"
#include "scratch.h"

namespace rnnx {
inline namespace RNNX_TARGET {

// Which columns of what a panel covers.
struct Place {
  int gate;      // or leaf of state, or 0
  int64_t from;  // first column
  int width, vectors, head;
  int64_t depth;
  int64_t at;  // where it starts among the packed weights of a group
};

// A run of rows of the recurrent matrix that lies within one leaf of the state.
struct Stretch {
  int leaf;
  int64_t column, row, length;  // column in the leaf, row in the matrix
};

inline std::vector<Stretch> stretches(const Sizes& z, int head) {
  std::vector<Stretch> out;
  const int64_t m = z.width() / z.heads, end = (head + 1) * m;
  for (int64_t r = head * m; r < end;) {
    const int64_t column = r % z.units, length = std::min(z.units - column, end - r);
    out.push_back({z.read[r / z.units], column, r, length});
    r += length;
  }
  return out;
}

template <class T>
inline void cut(std::vector<Place>& places, int gate, int64_t from, int64_t to, int head, int64_t depth) {
  for (int64_t c = from; c < to; c += 2 * lanes<T>) {
    const int width = int(std::min<int64_t>(2 * lanes<T>, to - c)), vectors = (width + lanes<T> - 1) / lanes<T>;
    const int64_t at = places.empty() ? 0 : places.back().at + places.back().depth * places.back().vectors * lanes<T>;
    places.push_back({gate, c, width, vectors, head, depth, at});
  }
}

inline bool is_driven(const Sizes& z, int gate) { return gate < z.driven(); }
inline bool is_recurrent(const Sizes& z, int gate) { return gate >= z.only_u; }

// The gates: from x (unless u is given) and from the state.
template <class T>
inline std::vector<Place> gate_places(const Sizes& z) {
  std::vector<Place> places;
  const int64_t n = z.units / z.heads;
  for (int g = 0; g < z.gates(); g++)
    for (int h = 0; h < z.heads; h++) {
      const int64_t depth = (is_driven(z, g) && !z.given ? z.inputs : 0) + (is_recurrent(z, g) ? z.width() / z.heads : 0);
      cut<T>(places, g, h * n, (h + 1) * n, h, depth);
    }
  return places;
}

// The cotangents of the state that the matrix reads: from those of the recurrent gates.
template <class T>
inline std::vector<Place> state_places(const Sizes& z) {
  std::vector<Place> places;
  for (int h = 0; h < z.heads && z.recurrent(); h++)
    for (const Stretch& s : stretches(z, h))
      cut<T>(places, s.leaf, s.column, s.column + s.length, h, z.recurrent() * (z.units / z.heads));
  return places;
}

// The cotangent of x: from those of the driven gates.
template <class T>
inline std::vector<Place> input_places(const Sizes& z) {
  std::vector<Place> places;
  if (!z.given) cut<T>(places, 0, 0, z.inputs, 0, z.driven() * z.units);
  return places;
}

template <class T>
inline int64_t packed_size(const std::vector<Place>& places) {
  return places.empty() ? 0 : places.back().at + places.back().depth * places.back().vectors * lanes<T>;
}

template <class T>
inline T* line(T* to, const T* from, int64_t step, int width, int vectors) {
  for (int i = 0; i < width; i++) to[i] = from[i * step];
  for (int i = width; i < vectors * lanes<T>; i++) to[i] = 0;
  return to + vectors * lanes<T>;
}

template <class T>
inline void pack_gate(const Sizes& z, const Inputs<T>& in, int64_t k, const Place& p, T* to) {
  const int64_t n = z.units / z.heads, m = z.width() / z.heads, gates = z.driven();
  if (is_driven(z, p.gate) && !z.given)
    for (int64_t d = 0; d < z.inputs; d++)
      to = line(to, in.w_x + ((k * z.inputs + d) * gates + p.gate) * z.units + p.from, 1, p.width, p.vectors);
  if (is_recurrent(z, p.gate))
    for (int64_t r = 0; r < m; r++) {
      const int64_t row = ((k * z.heads + p.head) * m + r) * z.recurrent() + p.gate - z.only_u;
      to = line(to, in.w_h + row * n + p.from - p.head * n, 1, p.width, p.vectors);
    }
}

template <class T>
inline void pack_state(const Sizes& z, const Inputs<T>& in, int64_t k, const Place& p, T* to) {
  const int64_t n = z.units / z.heads, m = z.width() / z.heads;
  int64_t row = 0;  // of the matrix, for the first column of the panel
  for (const Stretch& s : stretches(z, p.head))
    if (s.leaf == p.gate && s.column <= p.from && p.from < s.column + s.length) row = s.row + p.from - s.column;
  const T* w = in.w_h + (k * z.heads * m + row) * z.recurrent() * n;
  for (int g = 0; g < z.recurrent(); g++)
    for (int64_t c = 0; c < n; c++) to = line(to, w + g * n + c, z.recurrent() * n, p.width, p.vectors);
}

template <class T>
inline void pack_input(const Sizes& z, const Inputs<T>& in, int64_t k, const Place& p, T* to) {
  const int64_t row = z.driven() * z.units;
  const T* w = in.w_x + (k * z.inputs + p.from) * row;
  for (int64_t c = 0; c < row; c++) to = line(to, w + c, row, p.width, p.vectors);
}

// Packed weights of all groups.
template <class T>
struct Packed {
  std::vector<Place> places;
  int64_t size = 0;   // of a group
  T* data = nullptr;  // [K, size]

  Packed() = default;
  Packed(std::vector<Place> some, int64_t groups, Arena& arena)
      : places(std::move(some)), size(packed_size<T>(places)), data(arena.take<T>(groups * size)) {}

  Panel<T> panel(int64_t k, const Place& p, const T* start) const {
    return {data + k * size + p.at, start, p.vectors, p.width};
  }
};

}  // namespace RNNX_TARGET
}  // namespace rnnx
