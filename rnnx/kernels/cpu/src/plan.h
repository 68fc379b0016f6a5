// What a call is, told to every instruction set alike: plain numbers and pointers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace rnnx {

// The operations of a program; rnnx/kernels/cpu/program.py counts them in this order.
enum What : int32_t {
  COPY, ADD, SUB, MUL, DIV, NEG, ABS, MAX, MIN, SIGN, FLOOR, SQRT, EXP, EXPM1, LOG, LOG1P, TANH, LOGISTIC,
  LT, LE, EQ, NE, SELECT, MULADD, MULSUB, SUBMUL, ACCUMULATE, BFLOAT16, WHATS
};

struct Op {
  int32_t what, to, a, b, c;  // b and c repeat a where an operation has fewer operands
};

struct Program {
  int32_t inputs = 0, outputs = 0, temporaries = 0;
  bool accumulates = false;
  std::vector<double> constants;
  std::vector<Op> code;

  size_t slots() const { return inputs + outputs + constants.size() + temporaries; }
};

// T steps of K groups of B examples; D inputs, N units, S leaves of state; gates that only u drives, that u and v
// drive together (as a sum), and that only v drives, in this order.
struct Sizes {
  int64_t steps, groups, batch, inputs, units;
  int32_t leaves, only_u, sums, only_v, heads, rows;  // rows: weights [N] that the update reads
  bool given;    // u itself is given, not x
  bool reverse;  // from the last step to the first
  std::vector<int32_t> read;  // the leaves that the recurrent matrix multiplies, side by side

  int32_t gates() const { return only_u + sums + only_v; }
  int32_t driven() const { return only_u + sums; }
  int32_t recurrent() const { return sums + only_v; }
  int64_t width() const { return recurrent() ? int64_t(read.size()) * units : 0; }  // rows of the recurrent matrix
};

// Arrays lead with the axes named; a missing one is null.
template <class T>
struct Inputs {
  const T* xs;    // [K, T, B, D], or u [K, T, B, driven, N] where it is given
  const T* w_x;   // [K, D, driven, N]
  const T* bias;  // [K, driven, N]
  const T* w_h;   // [K, heads, width / heads, recurrent, N / heads]
  const T* rows;  // [K, rows, N]
  std::vector<const T*> first, fresh;  // [K, B, N] and [K, N], a leaf each
  const uint8_t *starts, *valid;       // [K, T, B]
};

template <class T>
struct Forward {
  Sizes sizes;
  Program program;  // inputs: state, gates, rows; outputs: new state, then stored gates
  Inputs<T> in;
  std::vector<T*> final;        // [K, B, N]
  std::vector<T*> states;       // [K, T, B, N], null where nobody wants it
  std::vector<T*> cache;        // [K, T, B, N], a gate each; empty where nothing is stored
  std::vector<int32_t> stored;  // gates that an output of the program replaces in the cache
};

template <class T>
struct Backward {
  Sizes sizes;
  Program program;  // inputs: state, gates, rows, carried and given cotangents; outputs: d_state, d_gates, d_rows
  Inputs<T> in;
  std::vector<const T*> states, cache;      // as Forward made them; without a cache the gates are computed again
  std::vector<const T*> d_final, d_states;  // null where zero
  std::vector<int32_t> row_of;              // which weight row each d_rows output is of
  bool wants_weights, wants_inputs;
  T *d_xs, *d_w_x, *d_bias, *d_w_h, *d_rows;
  std::vector<T*> d_first, d_fresh;
};

// Runs work(0) .. work(count - 1), on as many threads as there are.
using Parallel = std::function<void(int64_t count, const std::function<void(int64_t)>& work)>;

// Returns false where memory is short; then nothing of the results counts.
struct Target {
  const char* name;
  bool (*forward_f32)(const Forward<float>&, int64_t threads, const Parallel&);
  bool (*forward_f64)(const Forward<double>&, int64_t threads, const Parallel&);
  bool (*backward_f32)(const Backward<float>&, int64_t threads, const Parallel&);
  bool (*backward_f64)(const Backward<double>&, int64_t threads, const Parallel&);
};

}  // namespace rnnx
