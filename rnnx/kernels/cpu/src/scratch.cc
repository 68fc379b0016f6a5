#include "scratch.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace rnnx {
namespace {

struct Block {
  char* data;
  size_t bytes;
};
constexpr size_t most_kept = size_t(256) << 20;  // bytes; what comes back beyond that is freed

std::mutex mutex;
size_t kept_bytes = 0;
std::vector<Block>& kept() {
  static auto* blocks = new std::vector<Block>;  // never destroyed: threads may outlive static objects
  return *blocks;
}

}  // namespace

Scratch::Scratch(size_t bytes) : data_(nullptr), bytes_(bytes) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    auto& blocks = kept();
    size_t best = blocks.size();
    for (size_t i = 0; i < blocks.size(); i++) {
      const bool fits = blocks[i].bytes >= bytes && blocks[i].bytes <= 4 * bytes + 65536;
      if (fits && (best == blocks.size() || blocks[i].bytes < blocks[best].bytes)) best = i;
    }
    if (best < blocks.size()) {
      data_ = blocks[best].data;
      bytes_ = blocks[best].bytes;
      kept_bytes -= bytes_;
      blocks[best] = blocks.back();
      blocks.pop_back();
    }
  }
  if (!data_) data_ = static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64));
  if (!data_) throw std::bad_alloc();
}

Scratch::~Scratch() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (kept_bytes + bytes_ <= most_kept) {
      try {
        kept().push_back({data_, bytes_});
        kept_bytes += bytes_;
        return;
      } catch (const std::bad_alloc&) {
      }
    }
  }
  std::free(data_);
}

}  // namespace rnnx
