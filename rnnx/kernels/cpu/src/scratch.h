// Working memory that survives a call: fresh pages cost more than the arithmetic done in them.
#pragma once
#include <cstddef>

namespace rnnx {

// A block of memory, kept for the next call when it is given back. Throws std::bad_alloc.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  char* data() const { return data_; }

 private:
  char* data_;
  size_t bytes_;
};

// Lays arrays out one after another: from nothing to measure, then from a block of that size.
struct Arena {
  char* base = nullptr;
  size_t used = 0;

  // `count` numbers, aligned to a line of cache, with room for two vectors read beyond their end.
  template <class T>
  T* take(size_t count) {
    char* p = base + used;
    used += (count * sizeof(T) + 63) / 64 * 64 + 128;
    return reinterpret_cast<T*>(p);
  }
};

}  // namespace rnnx
