// A cell's update as a table of operations over rows that stay in the first-level cache.
#pragma once
#include <vector>

#include "functions.h"
#include "plan.h"

namespace rnnx {
inline namespace RNNX_TARGET {

template <class T>
constexpr int64_t strip = 1024 / sizeof(T);  // numbers an operation takes at a time

// Slots are what operations read and write: inputs and outputs (pointers set by the caller, who owns what is there),
// then constants and temporaries (rows of one strip, owned here).
template <class T>
class Runner {
 public:
  explicit Runner(const Program& program)
      : program_(program),
        moving_(program.inputs + program.outputs),
        base_(program.slots(), nullptr),
        at_(program.slots(), nullptr),
        rows_((program.constants.size() + program.temporaries + moving_) * strip<T>) {
    T* row = rows_.data();
    for (int i = 0; i < (int)program.constants.size(); i++, row += strip<T>) {
      at_[moving_ + i] = row;
      for (int64_t j = 0; j < strip<T>; j++) row[j] = T(program.constants[i]);
    }
    for (int i = 0; i < program.temporaries; i++, row += strip<T>) at_[moving_ + program.constants.size() + i] = row;
    spare_ = row;
  }

  void input(int i, const T* p) { base_[i] = const_cast<T*>(p); }
  void output(int i, T* p) { base_[program_.inputs + i] = p; }

  // Everything from `low` to `high`, counted from the pointers set.
  void run(int64_t low, int64_t high) {
    constexpr int64_t L = lanes<T>;
    const int64_t whole = low + (high - low) / L * L;
    for (int64_t from = low; from < whole;) {
      const int64_t count = whole - from < strip<T> ? whole - from : strip<T>;
      for (int s = 0; s < moving_; s++) at_[s] = base_[s] + from;
      execute(count);
      from += count;
    }
    if (whole < high) edge(whole, high - whole);
  }

 private:
  // What does not fill a vector goes through rows of its own: nothing beside it is read or written.
  void edge(int64_t from, int64_t count) {
    for (int s = 0; s < moving_; s++) {
      at_[s] = spare_ + s * strip<T>;
      if (s < program_.inputs || program_.accumulates) std::memcpy(at_[s], base_[s] + from, count * sizeof(T));
    }
    execute(lanes<T>);
    for (int s = program_.inputs; s < moving_; s++) std::memcpy(base_[s] + from, at_[s], count * sizeof(T));
  }

  void execute(int64_t count) {
    const Op* op = program_.code.data();
    for (size_t i = 0; i < program_.code.size(); i++, op++) {
      T* d = at_[op->to];
      const T *pa = at_[op->a], *pb = at_[op->b], *pc = at_[op->c];
#define RNNX_EACH(expression)                                   \
  _Pragma("GCC unroll 2") for (int64_t j = 0; j < count; j += lanes<T>) { \
    const Vec<T> a = load(pa + j);                              \
    store<T>(d + j, expression);                                \
  }                                                             \
  break;
#define B load(pb + j)
#define C load(pc + j)
#define ONE_IF(condition) (condition) ? all<T>(T(1)) : all<T>(T(0))
      switch (op->what) {
        case COPY: RNNX_EACH(a)
        case ADD: RNNX_EACH(a + B)
        case SUB: RNNX_EACH(a - B)
        case MUL: RNNX_EACH(a * B)
        case DIV: RNNX_EACH(a / B)
        case NEG: RNNX_EACH(-a)
        case ABS: RNNX_EACH(absolute<T>(a))
        case MAX: RNNX_EACH(((a > B) | (a != a)) ? a : B)
        case MIN: RNNX_EACH(((a < B) | (a != a)) ? a : B)
        case SIGN: RNNX_EACH(sign<T>(a))
        case FLOOR: RNNX_EACH(floor<T>(a))
        case SQRT: RNNX_EACH(square_root<T>(a))
        case EXP: RNNX_EACH(exponential<T>(a))
        case EXPM1: RNNX_EACH(expm1<T>(a))
        case LOG: RNNX_EACH(logarithm<T>(a))
        case LOG1P: RNNX_EACH(log1p<T>(a))
        case TANH: RNNX_EACH(hyperbolic_tangent<T>(a))
        case LOGISTIC: RNNX_EACH(logistic<T>(a))
        case LT: RNNX_EACH(ONE_IF(a < B))
        case LE: RNNX_EACH(ONE_IF(a <= B))
        case EQ: RNNX_EACH(ONE_IF(a == B))
        case NE: RNNX_EACH(ONE_IF(a != B))
        case SELECT: RNNX_EACH(a != T(0) ? C : B)
        case MULADD: RNNX_EACH(a * B + C)
        case MULSUB: RNNX_EACH(a * B - C)
        case SUBMUL: RNNX_EACH(C - a * B)
        case BFLOAT16: RNNX_EACH(bfloat16<T>(a))
        case ACCUMULATE: RNNX_EACH(load(d + j) + a)
      }
#undef RNNX_EACH
#undef B
#undef C
#undef ONE_IF
    }
  }

  const Program& program_;
  int moving_;
  std::vector<T*> base_, at_;
  std::vector<T> rows_;
  T* spare_;
};

}  // namespace RNNX_TARGET
}  // namespace rnnx
