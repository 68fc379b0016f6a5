// What a forward and a backward pass share: the examples one thread takes, and their gates at one step.
#pragma once
#include <algorithm>
#include <atomic>
#include <new>

#include "panels.h"
#include "program.h"

namespace rnnx {
inline namespace RNNX_TARGET {

// How the examples of the groups are divided. No thread waits for another within a sequence.
struct Division {
  int64_t pieces;  // of each group

  Division(const Sizes& z, int64_t threads) {
    const int64_t columns = z.gates() * z.units, work = z.steps * z.batch * columns * (z.inputs + z.width() + 16);
    const int64_t wanted = (threads + z.groups - 1) / z.groups;
    pieces = work * z.groups < 200000 ? 1 : std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, z.batch / 4));
  }
};

// The examples [low, low + rows) of group k.
template <class T>
struct Piece {
  const Sizes& z;
  const Inputs<T>& in;
  int64_t k, low, rows, numbers;  // numbers: rows * N

  Piece(const Sizes& sizes, const Inputs<T>& inputs, const Division& division, int64_t task)
      : z(sizes), in(inputs), k(task / division.pieces) {
    const int64_t p = task % division.pieces;
    low = z.batch * p / division.pieces;
    rows = z.batch * (p + 1) / division.pieces - low;
    numbers = rows * z.units;
  }

  int64_t step(int64_t visit) const { return z.reverse ? z.steps - 1 - visit : visit; }
  int64_t example(int64_t t) const { return (k * z.steps + t) * z.batch + low; }  // of arrays [K, T, B]
  int64_t at(int64_t t) const { return example(t) * z.units; }
  int64_t at_state() const { return (k * z.batch + low) * z.units; }
  const T* xs(int64_t t) const { return in.xs + example(t) * (z.given ? z.driven() * z.units : z.inputs); }

  bool starts(int64_t t, int64_t row) const { return in.starts && in.starts[example(t) + row]; }
  bool valid(int64_t t, int64_t row) const { return !in.valid || in.valid[example(t) + row]; }
  bool any_start(int64_t t) const {
    for (int64_t r = 0; in.starts && r < rows; r++)
      if (starts(t, r)) return true;
    return false;
  }
  bool all_valid(int64_t t) const {
    for (int64_t r = 0; in.valid && r < rows; r++)
      if (!valid(t, r)) return false;
    return true;
  }

  // Runs a program over the examples that are valid, in as few stretches as they make.
  void run(Runner<T>& runner, int64_t t) const {
    for (int64_t r = 0; r < rows;) {
      int64_t end = r;
      while (end < rows && valid(t, end)) end++;
      if (end > r) runner.run(r * z.units, end * z.units);
      r = end + 1;
    }
  }

  // Rows [N] of the weights, one after the other for every example.
  void repeat(const T* rows_of_group, T* to) const {
    for (int i = 0; i < z.rows; i++)
      for (int64_t r = 0; r < rows; r++, to += z.units)
        std::memcpy(to, rows_of_group + i * z.units, z.units * sizeof(T));
  }
};

// The gates of a step, before the update: products with x and with the state, or u as given.
template <class T>
class Gates {
 public:
  Gates(const Piece<T>& piece, const Packed<T>& packed, T* starts) : p_(piece), packed_(packed) {
    const Sizes& z = p_.z;
    for (int h = 0; h < z.heads; h++) stretches_.push_back(z.recurrent() ? stretches(z, h) : std::vector<Stretch>());
    for (const Place& place : packed.places) {  // biases, padded like the panels
      starts_.push_back(is_driven(z, place.gate) && !z.given ? starts : nullptr);
      if (starts_.back())
        starts = line(starts, p_.in.bias + (p_.k * z.driven() + place.gate) * z.units + place.from, 1, place.width,
                      place.vectors);
    }
  }

  static int64_t starts_size(const Packed<T>& packed) { return packed.places.size() * 2 * lanes<T>; }

  // gates[g] [rows, N], from the step's x and the state before it.
  void compute(int64_t t, const std::vector<const T*>& state, const std::vector<T*>& gates) {
    const Sizes& z = p_.z;
    const T* x = p_.xs(t);
    if (z.given)
      for (int g = 0; g < z.driven(); g++)
        for (int64_t r = 0; r < p_.rows; r++)
          std::memcpy(gates[g] + r * z.units, x + (r * z.driven() + g) * z.units, z.units * sizeof(T));
    lists_.resize(z.heads);
    for (int h = 0; h < z.heads; h++) {  // x first, so that a gate that reads no x starts one later
      lists_[h].assign(1, {x, z.inputs, z.inputs});
      for (const Stretch& s : stretches_[h]) lists_[h].push_back({state[s.leaf] + s.column, z.units, s.length});
    }
    for (size_t i = 0; i < packed_.places.size(); i++) {
      const Place& place = packed_.places[i];
      if (!place.depth) continue;
      const bool from_x = is_driven(z, place.gate) && !z.given, recurrent = is_recurrent(z, place.gate);
      const auto& list = lists_[place.head];
      const Segment<T>* segments = list.data() + !from_x;
      const int count = int(from_x) + (recurrent ? int(list.size()) - 1 : 0);
      multiply(segments, count, p_.rows, packed_.panel(p_.k, place, starts_[i]), gates[place.gate] + place.from,
               z.units, is_driven(z, place.gate) && z.given);
    }
  }

 private:
  const Piece<T>& p_;
  const Packed<T>& packed_;
  std::vector<const T*> starts_;
  std::vector<std::vector<Stretch>> stretches_;
  std::vector<std::vector<Segment<T>>> lists_;
};

// Work that may run out of memory on any thread: false if it did.
inline bool every(const Parallel& parallel, int64_t count, const std::function<void(int64_t)>& work) {
  std::atomic<bool> failed{false};
  parallel(count, [&](int64_t i) {
    try {
      if (!failed) work(i);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  });
  return !failed;
}

// Packs panels: all by the caller where that is over before another thread would have woken.
template <class Work>
inline bool pack_all(const Parallel& parallel, int64_t bytes, int64_t count, const Work& work) {
  if (bytes > 131072) return every(parallel, count, work);
  for (int64_t i = 0; i < count; i++) work(i);
  return true;
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
