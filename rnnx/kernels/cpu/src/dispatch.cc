#include "dispatch.h"

#include <cstdlib>
#include <cstring>

namespace rnnx {

extern const Target target_portable;
#if defined(__x86_64__)
extern const Target target_avx2, target_avx512;
#endif

namespace {

const Target& choose() {
#if defined(__x86_64__)
  const char* least = std::getenv("RNNX_INSTRUCTIONS");
  const auto allowed = [&](const char* name) { return !least || !std::strcmp(least, name); };
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx512 && allowed("avx512")) return target_avx512;
  if (avx2 && (allowed("avx512") || allowed("avx2"))) return target_avx2;
#endif
  return target_portable;
}

}  // namespace

const Target& target() {
  static const Target& chosen = choose();
  return chosen;
}

}  // namespace rnnx
