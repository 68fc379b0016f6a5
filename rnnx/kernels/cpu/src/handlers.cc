// The door for XLA: four handlers that read a call and hand it to the instruction set that is chosen, on XLA's threads.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>

#include "dispatch.h"
#include "reading.h"

namespace rnnx {
namespace {

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
    try {
      for (int64_t i = 1; i < std::min(count, threads()); i++) pool_.Schedule([shared] { shared->take_part(); });
    } catch (const std::bad_alloc&) {  // fewer helpers: those that come must find us waiting
    }
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
