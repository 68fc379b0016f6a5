#pragma once
#include "plan.h"

namespace rnnx {

// The instruction sets this processor has, the widest first; RNNX_INSTRUCTIONS=avx2 or =portable takes less.
const Target& target();

}  // namespace rnnx
