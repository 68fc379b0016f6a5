// Runs the native kernel by itself on odd sizes, for the sanitisers, and compares the instruction sets with each other.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "pages.h"
#include "plan.h"

namespace rnnx {
extern const Target target_portable;
#if defined(__x86_64__)
extern const Target target_avx2;
#endif
}  // namespace rnnx

using namespace rnnx;

namespace {

void threads(int64_t count, const std::function<void(int64_t)>& work) {
  std::vector<std::thread> some;
  for (int64_t i = 0; i < count; i++) some.emplace_back(work, i);
  for (auto& thread : some) thread.join();
}

// h' = tanh(gates summed) + row * h, and its derivative.
Program ahead(const Sizes& z) {
  Program p;
  p.inputs = z.leaves + z.gates() + z.rows;
  p.outputs = z.leaves;
  p.temporaries = 2;
  const int t = p.inputs + p.outputs;
  p.code.push_back({COPY, t, z.leaves, z.leaves, z.leaves});
  for (int g = 1; g < z.gates(); g++) p.code.push_back({ADD, t, t, z.leaves + g, t});
  p.code.push_back({TANH, t, t, t, t});
  for (int s = 0; s < z.leaves; s++) p.code.push_back({MULADD, p.inputs + s, s, z.leaves + z.gates(), t});
  return p;
}

Program back(const Sizes& z) {
  Program p;
  p.inputs = 3 * z.leaves + z.gates() + z.rows;
  p.outputs = z.leaves + z.gates() + z.rows;
  p.temporaries = 3;
  p.accumulates = true;
  p.constants = {1.0};
  const int one = p.inputs + p.outputs, t = one + 1, row = z.leaves + z.gates(), carried = row + z.rows;
  p.code.push_back({COPY, t, z.leaves, z.leaves, z.leaves});
  for (int g = 1; g < z.gates(); g++) p.code.push_back({ADD, t, t, z.leaves + g, t});
  p.code.push_back({TANH, t, t, t, t});
  p.code.push_back({SUBMUL, t, t, t, one});
  p.code.push_back({SUB, t + 1, one, one, one});
  for (int s = 0; s < z.leaves; s++) {
    p.code.push_back({ADD, t + 2, carried + s, carried + z.leaves + s, one});
    p.code.push_back({ADD, t + 1, t + 1, t + 2, one});
    p.code.push_back({MUL, p.inputs + s, t + 2, row, one});
    p.code.push_back({MUL, t + 2, t + 2, s, one});
    p.code.push_back({ACCUMULATE, p.inputs + z.leaves + z.gates(), t + 2, one, one});
  }
  for (int g = 0; g < z.gates(); g++) p.code.push_back({MUL, p.inputs + z.leaves + g, t, t + 1, one});
  return p;
}

template <class T>
struct Case {
  Sizes z;
  bool marks, cached;
  std::vector<std::vector<T>> arrays;
  std::vector<uint8_t> starts, valid;
  std::mt19937 draws{7};

  T* fresh(int64_t count) {
    std::uniform_real_distribution<T> uniform(-1, 1);
    arrays.emplace_back(count);
    for (T& a : arrays.back()) a = uniform(draws);
    return arrays.back().data();
  }

  std::vector<T> run(const Target& target) {
    arrays.clear();
    arrays.reserve(200);
    draws.seed(7);
    const int64_t visits = z.steps * z.groups * z.batch, n = z.units;
    Inputs<T> in{};
    in.xs = fresh(visits * (z.given ? z.driven() * n : z.inputs));
    in.w_x = fresh(z.groups * z.inputs * z.driven() * n);
    in.bias = fresh(z.groups * z.driven() * n);
    in.w_h = fresh(z.groups * z.width() * z.recurrent() * (n / z.heads));
    in.rows = fresh(z.groups * z.rows * n);
    starts.assign(visits, 0);
    valid.assign(visits, 1);
    for (int64_t i = 0; i < visits; i++) starts[i] = i % 5 == 3, valid[i] = i % 7 != 2;
    if (marks) in.starts = starts.data(), in.valid = valid.data();
    for (int s = 0; s < z.leaves; s++) {
      in.first.push_back(fresh(z.groups * z.batch * n));
      if (marks) in.fresh.push_back(fresh(z.groups * n));
    }
    Forward<T> f{z, ahead(z), in, {}, {}, {}, {}};
    for (int s = 0; s < z.leaves; s++) f.final.push_back(fresh(z.groups * z.batch * n));
    for (int s = 0; s < z.leaves; s++) f.states.push_back(fresh(visits * n));
    for (int g = 0; cached && g < z.gates(); g++) f.cache.push_back(fresh(visits * n));
    Backward<T> b{};
    b.sizes = z, b.program = back(z), b.in = in;
    b.wants_weights = b.wants_inputs = true;
    for (T* a : f.states) b.states.push_back(a);
    for (T* a : f.cache) b.cache.push_back(a);
    for (int s = 0; s < z.leaves; s++) b.d_final.push_back(fresh(z.groups * z.batch * n));
    for (int s = 0; s < z.leaves; s++) b.d_states.push_back(fresh(visits * n));
    b.row_of = {0};
    b.d_xs = fresh(visits * (z.given ? z.driven() * n : z.inputs));
    b.d_w_x = fresh(z.groups * z.inputs * z.driven() * n);
    b.d_bias = fresh(z.groups * z.driven() * n);
    b.d_w_h = fresh(z.groups * z.width() * z.recurrent() * (n / z.heads));
    b.d_rows = fresh(z.groups * z.rows * n);
    for (int s = 0; s < z.leaves; s++) b.d_first.push_back(fresh(z.groups * z.batch * n));
    for (int s = 0; marks && s < z.leaves; s++) b.d_fresh.push_back(fresh(z.groups * n));
    const bool done = [&] {
      if constexpr (sizeof(T) == 4)
        return target.forward_f32(f, 3, threads) && target.backward_f32(b, 3, threads);
      else
        return target.forward_f64(f, 3, threads) && target.backward_f64(b, 3, threads);
    }();
    if (!done) std::puts("out of memory"), std::exit(1);
    std::vector<T> all;
    for (const auto& array : arrays) all.insert(all.end(), array.begin(), array.end());
    return all;
  }
};

int compared = 0;

template <class T>
void check(Sizes z) {
  for (bool marks : {false, true})
    for (bool cached : {false, true}) {
      Case<T> one{z, marks, cached, {}, {}, {}};
      const std::vector<T> want = one.run(target_portable);
#if defined(__x86_64__)
      if (!__builtin_cpu_supports("avx2")) continue;
      const std::vector<T> got = one.run(target_avx2);
      for (size_t i = 0; i < want.size(); i++) {
        const T limit = (sizeof(T) == 4 ? T(2e-3) : T(1e-9)) * (1 + std::abs(want[i]));
        if (!(std::abs(got[i] - want[i]) <= limit)) {
          std::printf("number %zu differs: %g, %g\n", i, double(got[i]), double(want[i]));
          std::exit(1);
        }
      }
#endif
      compared++;
    }
}

// Both ways to find the mapping around a result say where it begins and ends, and asking harms nothing.
void check_pages() {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const size_t size = size_t(32) << 20, guard = 65536;
  char* all = static_cast<char*>(mmap(nullptr, size + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char* data = all + guard;
  const Range want{uintptr_t(data), uintptr_t(data) + size};
  if (all == MAP_FAILED || mprotect(data, size, PROT_READ | PROT_WRITE)) std::puts("no memory"), std::exit(1);
  const Range asked = mapping_asked(want.from + 12345), read = mapping_read(want.from + 12345);
  const auto same = [&](const Range& got) { return got.from == want.from && got.to == want.to; };
  if (!same(read) || (asked.to && !same(asked))) std::puts("another mapping"), std::exit(1);
  LargePages pages;
  for (size_t from : {size_t(4096), size_t(0), size / 2}) {
    pages.ask(data + from, size / 2);
    std::memset(data + from, 1, size / 2);
  }
  munmap(all, size + 2 * guard);
#endif
}

}  // namespace

int main() {
  check_pages();
  //       T  K  B  D  N  leaves u s v heads rows given reverse read
  for (const Sizes& z : std::vector<Sizes>{
           {0, 1, 2, 3, 4, 1, 0, 1, 0, 1, 1, false, false, {0}},
           {1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, false, false, {0}},
           {5, 1, 3, 2, 7, 2, 1, 2, 1, 1, 1, false, true, {0}},
           {40, 1, 13, 5, 17, 2, 0, 4, 0, 1, 1, false, false, {0, 1}},
           {9, 3, 4, 3, 12, 1, 1, 1, 1, 3, 1, false, false, {0}},
           {7, 2, 5, 0, 6, 2, 2, 1, 0, 2, 1, true, true, {1, 0}},
           {6, 1, 8, 4, 33, 1, 2, 0, 0, 1, 1, false, false, {}},
           {3, 1, 31, 64, 64, 1, 0, 2, 0, 1, 1, false, false, {0}},
       }) {
    check<float>(z);
    check<double>(z);
  }
  std::printf("%d calls\n", compared);
}
