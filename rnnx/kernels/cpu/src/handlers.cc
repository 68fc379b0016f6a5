// The door for XLA: every buffer is checked against the sizes told, then the call is handed on as plain pointers.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>

#include "dispatch.h"
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

// XLA maps large results anew in every run, and first touching them page by page costs more than filling them: asks for
// large pages, where the system grants them on request.
void advise(void* data, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = size_t(2) << 20;
  if (bytes < page) return;
  const uintptr_t from = reinterpret_cast<uintptr_t>(data) / page * page;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(data) + bytes + page - 1) / page * page;
  madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);  // where it is refused, nothing is lost
#else
  (void)data, (void)bytes;
#endif
}

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
    advise(data, count * sizeof(T));
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

// ---------------------------------------------------------------------------------------------------- threads

// Work shared with XLA's own threads. The caller takes part until nothing is left, so it waits only for what others
// have begun, never for a thread that may not come.
class Pool {
 public:
  explicit Pool(ffi::ThreadPool pool) : pool_(pool) {}
  int64_t threads() const { return std::max<int64_t>(1, pool_.num_threads()); }

  void operator()(int64_t count, const std::function<void(int64_t)>& work) {
    if (count <= 0) return;
    if (count == 1 || threads() == 1) {
      for (int64_t i = 0; i < count; i++) work(i);
      return;
    }
    struct Shared {
      std::function<void(int64_t)> work;
      int64_t count;
      std::atomic<int64_t> next{0}, done{0};
      std::mutex mutex;
      std::condition_variable all_done;

      void take_part() {
        for (int64_t i; (i = next.fetch_add(1)) < count;) {
          work(i);
          if (done.fetch_add(1) + 1 == count) {
            std::lock_guard<std::mutex> lock(mutex);
            all_done.notify_all();
          }
        }
      }
    };
    auto shared = std::make_shared<Shared>();
    shared->work = work;
    shared->count = count;
    for (int64_t i = 1; i < std::min(count, threads()); i++) pool_.Schedule([shared] { shared->take_part(); });
    shared->take_part();
    std::unique_lock<std::mutex> lock(shared->mutex);
    shared->all_done.wait(lock, [&] { return shared->done == count; });
  }

 private:
  ffi::ThreadPool pool_;
};

// --------------------------------------------------------------------------------------------------- handlers

template <class T>
bool forward(ffi::ThreadPool threads, ffi::Span<const int64_t> numbers, ffi::Span<const int64_t> code,
             ffi::Span<const double> constants, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Numbers n(numbers);
  Buffers buffers(args, rets);
  Forward<T> f;
  Sizes& z = f.sizes = read_sizes(n);
  const bool starts = n.next(), valid = n.next(), caches = n.next();
  const std::vector<int32_t> wanted = n.list();
  f.stored = n.list();
  for (int32_t gate : f.stored) demand(gate < z.gates(), "a gate that is stored does not exist");
  demand(int32_t(wanted.size()) == z.leaves, "each leaf is wanted or not");
  const Flags has{starts, valid};
  f.in = read_inputs<T>(z, has, buffers);
  f.program = read_program(n, code, constants, z.leaves + z.gates() + z.rows, z.leaves + f.stored.size());
  const int64_t examples = z.groups * z.batch * z.units;
  for (int s = 0; s < z.leaves; s++) f.final.push_back(buffers.out<T>(examples));
  for (int s = 0; s < z.leaves; s++) f.states.push_back(wanted[s] ? buffers.out<T>(z.steps * examples) : nullptr);
  for (int g = 0; caches && g < z.gates(); g++) f.cache.push_back(buffers.out<T>(z.steps * examples));
  buffers.end();
  Pool pool(threads);
  const Target& t = target();
  if constexpr (sizeof(T) == 4) return t.forward_f32(f, pool.threads(), std::ref(pool));
  else return t.forward_f64(f, pool.threads(), std::ref(pool));
}

template <class T>
bool backward(ffi::ThreadPool threads, ffi::Span<const int64_t> numbers, ffi::Span<const int64_t> code,
              ffi::Span<const double> constants, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Numbers n(numbers);
  Buffers buffers(args, rets);
  Backward<T> b{};
  Sizes& z = b.sizes = read_sizes(n);
  const bool starts = n.next(), valid = n.next(), cached = n.next();
  b.wants_weights = n.next();
  b.wants_inputs = n.next();
  const std::vector<int32_t> final_given = n.list(), states_given = n.list();
  b.row_of = n.list();
  for (int32_t row : b.row_of) demand(row < z.rows, "a row of weights does not exist");
  demand(int32_t(final_given.size()) == z.leaves && int32_t(states_given.size()) == z.leaves,
         "each leaf has a cotangent or not");
  const Flags has{starts, valid};
  b.in = read_inputs<T>(z, has, buffers);
  const int64_t given = std::accumulate(states_given.begin(), states_given.end(), int64_t(0));
  b.program = read_program(n, code, constants, 2 * z.leaves + z.gates() + z.rows + given,
                           z.leaves + z.gates() + b.row_of.size());
  const int64_t examples = z.groups * z.batch * z.units;
  for (int s = 0; s < z.leaves; s++) b.states.push_back(buffers.in<T>(z.steps * examples));
  for (int g = 0; cached && g < z.gates(); g++) b.cache.push_back(buffers.in<T>(z.steps * examples));
  for (int s = 0; s < z.leaves; s++) b.d_final.push_back(final_given[s] ? buffers.in<T>(examples) : nullptr);
  for (int s = 0; s < z.leaves; s++)
    b.d_states.push_back(states_given[s] ? buffers.in<T>(z.steps * examples) : nullptr);
  if (b.wants_weights) {
    if (!z.given) {
      b.d_w_x = buffers.out<T>(z.groups * z.inputs * z.driven() * z.units);
      b.d_bias = buffers.out<T>(z.groups * z.driven() * z.units);
    }
    if (z.recurrent()) b.d_w_h = buffers.out<T>(z.groups * z.width() * z.recurrent() * (z.units / z.heads));
    if (z.rows) b.d_rows = buffers.out<T>(z.groups * z.rows * z.units);
  }
  if (b.wants_inputs)
    b.d_xs = buffers.out<T>(z.steps * z.groups * z.batch * (z.given ? z.driven() * z.units : z.inputs));
  for (int s = 0; s < z.leaves; s++) b.d_first.push_back(buffers.out<T>(examples));
  for (int s = 0; starts && s < z.leaves; s++) b.d_fresh.push_back(buffers.out<T>(z.groups * z.units));
  buffers.end();
  Pool pool(threads);
  const Target& t = target();
  if constexpr (sizeof(T) == 4) return t.backward_f32(b, pool.threads(), std::ref(pool));
  else return t.backward_f64(b, pool.threads(), std::ref(pool));
}

using Run = bool(ffi::ThreadPool, ffi::Span<const int64_t>, ffi::Span<const int64_t>, ffi::Span<const double>,
                 ffi::RemainingArgs, ffi::RemainingRets);

// Nothing is thrown across the boundary.
template <Run run>
ffi::Error handler(ffi::ThreadPool pool, ffi::Span<const int64_t> numbers, ffi::Span<const int64_t> code,
                   ffi::Span<const double> constants, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  try {
    if (run(pool, numbers, code, constants, args, rets)) return ffi::Error::Success();
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "rnnx: out of memory in the native kernel");
  } catch (const Refusal& refusal) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, "rnnx: native kernel: " + refusal.reason);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "rnnx: out of memory in the native kernel");
  } catch (...) {
    return ffi::Error(ffi::ErrorCode::kInternal, "rnnx: the native kernel failed");
  }
}

constexpr auto forward_f32 = handler<forward<float>>;
constexpr auto forward_f64 = handler<forward<double>>;
constexpr auto backward_f32 = handler<backward<float>>;
constexpr auto backward_f64 = handler<backward<double>>;

#define RNNX_BINDING                  \
  ffi::Ffi::Bind()                    \
      .Ctx<ffi::ThreadPool>()         \
      .Attr<ffi::Span<const int64_t>>("numbers")  \
      .Attr<ffi::Span<const int64_t>>("code")     \
      .Attr<ffi::Span<const double>>("constants") \
      .RemainingArgs()                \
      .RemainingRets()

}  // namespace

#define RNNX_EXPORTED(name) extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* name(XLA_FFI_CallFrame*)
RNNX_EXPORTED(rnnx_forward_f32);
RNNX_EXPORTED(rnnx_forward_f64);
RNNX_EXPORTED(rnnx_backward_f32);
RNNX_EXPORTED(rnnx_backward_f64);
XLA_FFI_DEFINE_HANDLER_SYMBOL(rnnx_forward_f32, forward_f32, RNNX_BINDING);
XLA_FFI_DEFINE_HANDLER_SYMBOL(rnnx_forward_f64, forward_f64, RNNX_BINDING);
XLA_FFI_DEFINE_HANDLER_SYMBOL(rnnx_backward_f32, backward_f32, RNNX_BINDING);
XLA_FFI_DEFINE_HANDLER_SYMBOL(rnnx_backward_f64, backward_f64, RNNX_BINDING);

}  // namespace rnnx

extern "C" {
// What the handlers were built against, and the instruction set they run.
__attribute__((visibility("default"))) int rnnx_ffi_major() { return XLA_FFI_API_MAJOR; }
__attribute__((visibility("default"))) int rnnx_ffi_minor() { return XLA_FFI_API_MINOR; }
__attribute__((visibility("default"))) const char* rnnx_instructions() { return rnnx::target().name; }
}
