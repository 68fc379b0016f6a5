// XLA maps its temporaries anew in every run, and first touching them in small pages costs more than filling them.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#endif

namespace rnnx {
namespace {

struct Range {
  uintptr_t from = 0, to = 0;
  bool holds(const Range& other) const { return from <= other.from && other.to <= to; }
};

#if defined(__linux__) && defined(MADV_HUGEPAGE)
// The mapping of this process's memory that holds an address, empty where it is not told.
Range mapping_asked(uintptr_t address) {  // in microseconds, by Linux from 6.11 on
  Range found;
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return found;
  struct {  // procmap_query of linux/fs.h, which older headers do not have
    uint64_t size, flags, address, from, to, rest[4];
    uint32_t numbers[4];
    uint64_t addresses[2];
  } query{};
  query.size = sizeof query;
  query.address = address;
  if (ioctl(file, _IOWR('f', 17, decltype(query)), &query) == 0) found = {uintptr_t(query.from), uintptr_t(query.to)};
  close(file);
  return found;
}

Range mapping_read(uintptr_t address) {  // in a millisecond, by any Linux
  Range found;
  FILE* lines = fopen("/proc/self/maps", "re");
  if (!lines) return found;
  unsigned long from, to;
  while (!found.to && fscanf(lines, "%lx-%lx%*[^\n]", &from, &to) == 2)
    if (from <= address && address < to) found = {from, to};
  fclose(lines);
  return found;
}

// Asks for large pages, where the system grants them on request, for a result of a call and for what lies around it in
// the same mapping: the temporaries of a program are one allocation, so what XLA computes from the results profits too.
// Where anything is refused, nothing is lost.
class LargePages {
 public:
  void ask(void* data, size_t bytes) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(data);
    const Range result{from, from + bytes};
    if (bytes < PAGE || asked_.holds(result)) return;
    asked_ = mapping_asked(from);
    if (!asked_.to && bytes >= WORTH_READING) asked_ = mapping_read(from);
    if (!asked_.holds(result)) asked_ = {from / PAGE * PAGE, (result.to + PAGE - 1) / PAGE * PAGE};
    madvise(reinterpret_cast<void*>(asked_.from), asked_.to - asked_.from, MADV_HUGEPAGE);
  }

 private:
  static constexpr uintptr_t PAGE = uintptr_t(2) << 20;
  static constexpr size_t WORTH_READING = size_t(16) << 20;  // 4 ms of zeroing
  Range asked_;
};
#else
class LargePages {
 public:
  void ask(void*, size_t) {}
};
#endif

}  // namespace
}  // namespace rnnx
