// Everything, for one instruction set: compiled once for each, with RNNX_TARGET and RNNX_BYTES set.
#include "backward.h"
#include "forward.h"

namespace rnnx {

#define RNNX_NAME(name) #name
#define RNNX_QUOTED(name) RNNX_NAME(name)
#define RNNX_JOIN(a, b) a##b
#define RNNX_JOINED(a, b) RNNX_JOIN(a, b)

extern const Target RNNX_JOINED(target_, RNNX_TARGET);
const Target RNNX_JOINED(target_, RNNX_TARGET) = {RNNX_QUOTED(RNNX_TARGET), forward<float>, forward<double>,
                                                  backward<float>, backward<double>};

}  // namespace rnnx
