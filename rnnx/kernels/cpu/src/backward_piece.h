// Backward for the examples of one piece: chunk by chunk, from the last one visited to the first.
#pragma once
#include "steps.h"

namespace rnnx {
inline namespace RNNX_TARGET {

// Where a piece sums the gradients of what all examples share; the first piece of a group sums into the results.
template <class T>
struct Sums {
  T *w_x = nullptr, *bias = nullptr, *w_h = nullptr, *rows = nullptr, *fresh = nullptr;

  static int64_t w_x_size(const Sizes& z) { return z.given ? 0 : z.inputs * z.driven() * z.units; }
  static int64_t bias_size(const Sizes& z) { return z.given ? 0 : z.driven() * z.units; }
  static int64_t w_h_size(const Sizes& z) { return z.width() * z.recurrent() * (z.units / z.heads); }
  static int64_t rows_size(const Sizes& z) { return z.rows * z.units; }
  static int64_t fresh_size(const Sizes& z) { return z.leaves * z.units; }

  void lay(const Sizes& z, Arena& arena) {
    w_x = arena.take<T>(w_x_size(z));
    bias = arena.take<T>(bias_size(z));
    w_h = arena.take<T>(w_h_size(z));
    rows = arena.take<T>(rows_size(z));
    fresh = arena.take<T>(fresh_size(z));
  }
};

template <class T>
struct BackwardPacked {
  Packed<T> gates, state, inputs;

  BackwardPacked(const Backward<T>& b, Arena& arena)
      : gates(gate_places<T>(b.sizes), b.cache.empty() ? b.sizes.groups : 0, arena),
        state(state_places<T>(b.sizes), b.sizes.groups, arena),
        inputs(b.wants_inputs ? input_places<T>(b.sizes) : std::vector<Place>(), b.sizes.groups, arena) {}
};

template <class T>
class BackwardPiece {
 public:
  BackwardPiece(const Backward<T>& b, const BackwardPacked<T>& packed, const Piece<T>& piece, const Sums<T>& sums)
      : b_(b), z_(b.sizes), packed_(packed), p_(piece), sums_(sums), chunk_(chunk(b.sizes, piece.numbers)) {}

  void run() {
    Arena arena;
    lay(arena);
    const Scratch scratch(arena.used);
    arena = {scratch.data()};
    lay(arena);
    p_.repeat(b_.in.rows + p_.k * z_.rows * z_.units, repeated_);
    std::fill_n(d_rows_, b_.row_of.size() * p_.numbers, T(0));
    std::fill_n(sums_.fresh, Sums<T>::fresh_size(z_), T(0));
    for (int s = 0; s < z_.leaves; s++) {
      T* to = carried(s, z_.steps);
      if (b_.d_final[s])
        std::memcpy(to, b_.d_final[s] + p_.at_state(), p_.numbers * sizeof(T));
      else
        std::fill_n(to, p_.numbers, T(0));
    }

    Runner<T> runner(b_.program);
    Gates<T> products(p_, packed_.gates, starts_);
    before_.assign(z_.leaves, std::vector<const T*>(chunk_));
    xs_.resize(chunk_);
    now_.resize(z_.leaves);
    to_.resize(z_.gates());
    segments_.resize(z_.gates());
    bool first = true;
    for (int64_t end = z_.steps; end > 0; first = false) {
      const int64_t begin = std::max<int64_t>(0, end - chunk_);
      for (int64_t v = begin; v < end; v++) look_back(v, v - begin, products);
      for (int64_t v = end - 1; v >= begin; v--) step(v, v - begin, runner);
      if (b_.wants_weights) weights(end - begin, first);
      end = begin;
    }
    for (int s = 0; s < z_.leaves; s++)
      std::memcpy(b_.d_first[s] + p_.at_state(), carried(s, 0), p_.numbers * sizeof(T));
    if (b_.wants_weights) sum_rows();
  }

 private:
  // As many steps as make products long, while their cotangents stay in the second-level cache.
  static int64_t chunk(const Sizes& z, int64_t numbers) {
    const int64_t bytes = z.gates() * numbers * int64_t(sizeof(T));
    return std::clamp<int64_t>((int64_t(256) << 10) / std::max<int64_t>(bytes, 1), 8, std::max<int64_t>(8, z.steps));
  }

  void lay(Arena& arena) {
    const int64_t n = p_.numbers;
    repeated_ = arena.take<T>(z_.rows * n);
    d_rows_ = arena.take<T>(b_.row_of.size() * n);
    starts_ = arena.take<T>(b_.cache.empty() ? Gates<T>::starts_size(packed_.gates) : 0);
    gates_ = arena.take<T>(b_.cache.empty() ? chunk_ * z_.gates() * n : 0);
    changed_ = arena.take<T>(b_.in.starts || b_.in.valid ? chunk_ * z_.leaves * n : 0);
    d_gates_ = arena.take<T>(chunk_ * z_.gates() * n);
    carry_ = arena.take<T>(2 * z_.leaves * n);
  }

  T* carried(int s, int64_t visit) const { return carry_ + (2 * s + visit % 2) * p_.numbers; }
  T* d_gate(int64_t i, int g) const { return d_gates_ + (i * z_.gates() + g) * p_.numbers; }
  T* own_gate(int64_t i, int g) const { return gates_ + (i * z_.gates() + g) * p_.numbers; }

  // The state before a visit, and its gates where they are not stored. Rows that do not count become 0, so that
  // nothing in them reaches a product.
  void look_back(int64_t visit, int64_t i, Gates<T>& products) {
    const int64_t t = p_.step(visit);
    xs_[i] = p_.xs(t);
    const bool patched = p_.any_start(t) || !p_.all_valid(t);
    for (int s = 0; s < z_.leaves; s++) {
      const T* from = visit ? b_.states[s] + p_.at(p_.step(visit - 1)) : b_.in.first[s] + p_.at_state();
      if (patched) {
        T* to = changed_ + (i * z_.leaves + s) * p_.numbers;
        for (int64_t r = 0; r < p_.rows; r++) {
          const int64_t row = r * z_.units;
          if (!p_.valid(t, r))
            std::fill_n(to + row, z_.units, T(0));
          else
            std::memcpy(to + row, p_.starts(t, r) ? b_.in.fresh[s] + p_.k * z_.units : from + row,
                        z_.units * sizeof(T));
        }
        from = to;
      }
      before_[s][i] = now_[s] = from;
    }
    if (!b_.cache.empty()) return;
    for (int g = 0; g < z_.gates(); g++) to_[g] = own_gate(i, g);
    products.compute(t, now_, to_);
  }

  void step(int64_t visit, int64_t i, Runner<T>& runner) {
    const int64_t t = p_.step(visit);
    int slot = 0;
    for (int s = 0; s < z_.leaves; s++) runner.input(slot++, before_[s][i]);
    for (int g = 0; g < z_.gates(); g++)
      runner.input(slot++, b_.cache.empty() ? own_gate(i, g) : b_.cache[g] + p_.at(t));
    for (int w = 0; w < z_.rows; w++) runner.input(slot++, repeated_ + w * p_.numbers);
    for (int s = 0; s < z_.leaves; s++) runner.input(slot++, carried(s, visit + 1));
    for (int s = 0; s < z_.leaves; s++)
      if (b_.d_states[s]) runner.input(slot++, b_.d_states[s] + p_.at(t));
    slot = 0;
    for (int s = 0; s < z_.leaves; s++) runner.output(slot++, carried(s, visit));
    for (int g = 0; g < z_.gates(); g++) runner.output(slot++, d_gate(i, g));
    for (size_t w = 0; w < b_.row_of.size(); w++) runner.output(slot++, d_rows_ + w * p_.numbers);
    p_.run(runner, t);
    if (!p_.all_valid(t)) pass_by(visit, i, t);
    through_state(visit, i);
    if (b_.wants_inputs) through_inputs(i, t);
    if (p_.any_start(t)) start(visit, t);
  }

  // An example whose step is padding hands its cotangent on as it is.
  void pass_by(int64_t visit, int64_t i, int64_t t) {
    for (int64_t r = 0; r < p_.rows; r++) {
      if (p_.valid(t, r)) continue;
      const int64_t row = r * z_.units;
      for (int g = 0; g < z_.gates(); g++) std::fill_n(d_gate(i, g) + row, z_.units, T(0));
      for (int s = 0; s < z_.leaves; s++)
        for (int64_t j = row; j < row + z_.units; j++)
          carried(s, visit)[j] = carried(s, visit + 1)[j] + (b_.d_states[s] ? b_.d_states[s][p_.at(t) + j] : T(0));
    }
  }

  void through_state(int64_t visit, int64_t i) {
    const int64_t n = z_.units / z_.heads;
    for (const Place& place : packed_.state.places) {
      for (int g = 0; g < z_.recurrent(); g++)
        segments_[g] = {d_gate(i, z_.only_u + g) + place.head * n, z_.units, n};
      multiply(segments_.data(), z_.recurrent(), p_.rows, packed_.state.panel(p_.k, place, nullptr),
               carried(place.gate, visit) + place.from, z_.units, true);
    }
  }

  void through_inputs(int64_t i, int64_t t) {
    if (z_.given) {
      T* to = b_.d_xs + p_.example(t) * z_.driven() * z_.units;
      for (int64_t r = 0; r < p_.rows; r++)
        for (int g = 0; g < z_.driven(); g++, to += z_.units)
          std::memcpy(to, d_gate(i, g) + r * z_.units, z_.units * sizeof(T));
      return;
    }
    for (int g = 0; g < z_.driven(); g++) segments_[g] = {d_gate(i, g), z_.units, z_.units};
    for (const Place& place : packed_.inputs.places)
      multiply(segments_.data(), z_.driven(), p_.rows, packed_.inputs.panel(p_.k, place, nullptr),
               b_.d_xs + p_.example(t) * z_.inputs + place.from, z_.inputs, false);
  }

  // A step that starts a sequence did not see the state before it, but the fresh one.
  void start(int64_t visit, int64_t t) {
    for (int64_t r = 0; r < p_.rows; r++) {
      if (!p_.starts(t, r)) continue;
      for (int s = 0; s < z_.leaves; s++) {
        T* d = carried(s, visit) + r * z_.units;
        for (int64_t j = 0; j < z_.units; j++) sums_.fresh[s * z_.units + j] += d[j];
        std::fill_n(d, z_.units, T(0));
      }
    }
  }

  // One product a panel for all the steps of a chunk.
  void weights(int64_t steps, bool first) {
    const int64_t n = z_.units / z_.heads;
    for (const Place& place : packed_.gates.places) {
      const T* g = d_gates_ + place.gate * p_.numbers + place.from;
      Pairs<T> pairs{xs_.data(), z_.inputs, g, z_.units, z_.gates() * p_.numbers, steps, p_.rows};
      if (is_driven(z_, place.gate) && !z_.given) {
        const int64_t column = place.gate * z_.units + place.from;
        outer(pairs, 0, z_.inputs, sums_.w_x + column, z_.driven() * z_.units, place.vectors, place.width, !first);
        add_up(pairs, sums_.bias + column, place.width, !first);
      }
      if (!is_recurrent(z_, place.gate)) continue;
      const int64_t stride = z_.recurrent() * n, column = (place.gate - z_.only_u) * n + place.from - place.head * n;
      for (const Stretch& s : stretches(z_, place.head)) {
        pairs.a = before_[s.leaf].data();
        pairs.a_stride = z_.units;
        outer(pairs, s.column, s.length, sums_.w_h + s.row * stride + column, stride, place.vectors, place.width,
              !first);
      }
    }
  }

  static void add_up(const Pairs<T>& pairs, T* to, int width, bool accumulate) {
    T sum[2 * lanes<T>];
    for (int j = 0; j < 2 * lanes<T>; j++) sum[j] = accumulate && j < width ? to[j] : T(0);
    for (int64_t t = 0; t < pairs.steps; t++)
      for (int64_t r = 0; r < pairs.rows; r++) {
        const T* g = pairs.g + t * pairs.g_step + r * pairs.g_stride;
        for (int j = 0; j < width; j++) sum[j] += g[j];
      }
    std::copy_n(sum, width, to);
  }

  void sum_rows() {
    std::fill_n(sums_.rows, Sums<T>::rows_size(z_), T(0));
    for (size_t w = 0; w < b_.row_of.size(); w++)
      for (int64_t r = 0; r < p_.rows; r++)
        for (int64_t j = 0; j < z_.units; j++)
          sums_.rows[b_.row_of[w] * z_.units + j] += d_rows_[w * p_.numbers + r * z_.units + j];
  }

  const Backward<T>& b_;
  const Sizes& z_;
  const BackwardPacked<T>& packed_;
  const Piece<T>& p_;
  const Sums<T>& sums_;
  const int64_t chunk_;
  T *repeated_, *d_rows_, *starts_, *gates_, *changed_, *d_gates_, *carry_;
  std::vector<std::vector<const T*>> before_;  // [leaf][step of the chunk]
  std::vector<const T*> xs_, now_;             // [step of the chunk], [leaf]
  std::vector<T*> to_;                         // [gate]
  std::vector<Segment<T>> segments_;           // [gate]
};

}  // namespace RNNX_TARGET
}  // namespace rnnx
