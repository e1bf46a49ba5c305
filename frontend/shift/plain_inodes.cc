#include "frontend/shift/plain_inodes.h"

#include <sys/mman.h>

#include <bit>

#include "common/fd.h"

namespace userns::shift {

Result<PlainInodes> PlainInodes::make(std::span<const std::uint64_t> numbers) {
  PlainInodes made(nullptr, std::bit_ceil(2 * numbers.size() + 2));
  void* const memory =
      ::mmap(nullptr, made.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("cannot get memory for the inodes of a tree");
  made.memory_ = static_cast<std::byte*>(memory);
  for (const auto number : numbers)
    if (number != 0) made.numbers()[made.place_for(number)] = number;
  return made;
}

PlainInodes::~PlainInodes() {
  if (memory_ != nullptr) ::munmap(memory_, bytes());
}

std::size_t PlainInodes::place_for(std::uint64_t number) const {
  const auto mixed = number * 0x9e3779b97f4a7c15U;
  auto place = static_cast<std::size_t>(mixed ^ mixed >> 32U) & (slots_ - 1);
  while (numbers()[place] != 0 && numbers()[place] != number) place = (place + 1) & (slots_ - 1);
  return place;
}

std::size_t PlainInodes::find(std::uint64_t number) const {
  if (number == 0) return slots_;
  const auto place = place_for(number);
  return numbers()[place] == number ? place : slots_;
}

bool PlainInodes::is_changed(std::uint64_t number) const {
  const auto place = find(number);
  return place < slots_ && marks()[place].load(std::memory_order_relaxed);
}

void PlainInodes::set_changed(std::uint64_t number) {
  const auto place = find(number);
  if (place < slots_ && !marks()[place].exchange(true, std::memory_order_relaxed))
    news().changed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace userns::shift
