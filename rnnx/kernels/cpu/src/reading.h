// Reads what XLA hands over: every number, buffer and dtype is checked before it becomes a plain pointer.
#pragma once
#include <string>

#include "pages.h"
#include "plan.h"
#include "xla/ffi/api/ffi.h"

namespace rnnx {
namespace {

namespace ffi = xla::ffi;

struct Refusal {  // thrown and caught within this file
  std::string reason;
};

void demand(bool condition, const char* reason) {
  if (!condition) throw Refusal{reason};
}

// ------------------------------------------------------------------------------------------------- attributes

// Whole numbers, read in order.
class Numbers {
 public:
  explicit Numbers(ffi::Span<const int64_t> span) : span_(span) {}
  int64_t next() {
    demand(at_ < span_.size(), "the sizes end too soon");
    const int64_t value = span_[at_++];
    demand(value >= 0 && value < (int64_t(1) << 40), "a size is out of range");
    return value;
  }
  std::vector<int32_t> list() {
    std::vector<int32_t> out(some(next()));
    for (int32_t& value : out) value = some(next());
    return out;
  }
  static int32_t some(int64_t value) {
    demand(value < 4096, "a count is out of range");
    return int32_t(value);
  }

 private:
  ffi::Span<const int64_t> span_;
  size_t at_ = 0;
};

Sizes read_sizes(Numbers& n) {
  Sizes z;
  for (int64_t* size : {&z.steps, &z.groups, &z.batch, &z.inputs, &z.units}) *size = n.next();
  for (int32_t* count : {&z.leaves, &z.only_u, &z.sums, &z.only_v, &z.heads, &z.rows}) *count = Numbers::some(n.next());
  z.given = n.next();
  z.reverse = n.next();
  z.read = n.list();
  demand(z.leaves > 0 && z.units > 0 && z.heads > 0, "a cell has at least one leaf, one unit and one head");
  demand(z.units % z.heads == 0 && z.width() % z.heads == 0, "heads do not divide the units");
  demand((z.recurrent() == 0) == z.read.empty(), "recurrent gates read a leaf of the state");
  for (int32_t leaf : z.read) demand(leaf < z.leaves, "a leaf that is read does not exist");
  int64_t all = 1;
  for (int64_t size : {z.steps, z.groups, z.batch, std::max(z.inputs, z.units) * (z.gates() + z.leaves + 1)})
    demand(!__builtin_mul_overflow(all, size, &all) && all < (int64_t(1) << 48), "the call is too large");
  return z;
}

Program read_program(Numbers& n, ffi::Span<const int64_t> code, ffi::Span<const double> constants, int64_t inputs,
                     int64_t outputs) {
  Program p;
  p.inputs = Numbers::some(inputs);
  p.outputs = Numbers::some(outputs);
  p.temporaries = Numbers::some(n.next());
  p.constants.assign(constants.begin(), constants.end());
  demand(code.size() % 5 == 0, "an operation is five numbers");
  const int64_t slots = p.slots();
  for (size_t i = 0; i < code.size(); i += 5) {
    demand(code[i] >= 0 && code[i] < WHATS, "an operation is unknown");
    for (size_t j = 1; j < 5; j++) demand(code[i + j] >= 0 && code[i + j] < slots, "a slot does not exist");
    demand(code[i + 1] >= inputs, "an operation writes to an input");
    p.code.push_back({int32_t(code[i]), int32_t(code[i + 1]), int32_t(code[i + 2]), int32_t(code[i + 3]),
                      int32_t(code[i + 4])});
    p.accumulates |= code[i] == ACCUMULATE;
  }
  return p;
}

// ---------------------------------------------------------------------------------------------------- buffers

template <class T>
constexpr ffi::DataType data_type = sizeof(T) == 4 ? ffi::DataType::F32 : ffi::DataType::F64;

// Operands and results, taken in order, each of the size and type it must have.
class Buffers {
 public:
  Buffers(ffi::RemainingArgs args, ffi::RemainingRets rets) : args_(args), rets_(rets) {}

  template <class T>
  const T* in(int64_t count) {
    return static_cast<const T*>(argument(count, data_type<T>));
  }
  const uint8_t* flags(int64_t count) {
    return static_cast<const uint8_t*>(argument(count, ffi::DataType::PRED));
  }
  template <class T>
  T* out(int64_t count) {
    demand(ret_ < rets_.size(), "there are too few results");
    auto buffer = rets_.get<ffi::AnyBuffer>(ret_++);
    demand(buffer.has_value(), "a result cannot be read");
    demand((*buffer)->element_type() == data_type<T>, "a result has another dtype");
    demand(int64_t((*buffer)->element_count()) == count, "a result has another size");
    T* data = static_cast<T*>((*buffer)->untyped_data());
    pages_.ask(data, count * sizeof(T));
    return data;
  }
  void end() const { demand(arg_ == args_.size() && ret_ == rets_.size(), "there are too many operands or results"); }

 private:
  const void* argument(int64_t count, ffi::DataType type) {
    demand(arg_ < args_.size(), "there are too few operands");
    auto buffer = args_.get<ffi::AnyBuffer>(arg_++);
    demand(buffer.has_value(), "an operand cannot be read");
    demand(buffer->element_type() == type, "an operand has another dtype");
    demand(int64_t(buffer->element_count()) == count, "an operand has another size");
    return buffer->untyped_data();
  }

  ffi::RemainingArgs args_;
  ffi::RemainingRets rets_;
  LargePages pages_;
  size_t arg_ = 0, ret_ = 0;
};

struct Flags {
  bool starts, valid;
};

template <class T>
Inputs<T> read_inputs(const Sizes& z, Flags has, Buffers& buffers) {
  const int64_t examples = z.groups * z.batch, visits = z.steps * examples;
  Inputs<T> in{};
  in.xs = buffers.in<T>(visits * (z.given ? z.driven() * z.units : z.inputs));
  if (!z.given) {
    in.w_x = buffers.in<T>(z.groups * z.inputs * z.driven() * z.units);
    in.bias = buffers.in<T>(z.groups * z.driven() * z.units);
  }
  if (z.recurrent()) in.w_h = buffers.in<T>(z.groups * z.width() * z.recurrent() * (z.units / z.heads));
  if (z.rows) in.rows = buffers.in<T>(z.groups * z.rows * z.units);
  for (int s = 0; s < z.leaves; s++) in.first.push_back(buffers.in<T>(examples * z.units));
  if (has.starts) {
    for (int s = 0; s < z.leaves; s++) in.fresh.push_back(buffers.in<T>(z.groups * z.units));
    in.starts = buffers.flags(visits);
  }
  if (has.valid) in.valid = buffers.flags(visits);
  return in;
}

}  // namespace
}  // namespace rnnx
