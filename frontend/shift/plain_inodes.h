// Inodes of one owner and group of which chown(2) takes nothing but these: the survey found neither
// special bits nor ACLs nor capabilities. Which of them are changed already is shared with forks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "policy/error.h"

namespace userns::shift {

// A hash table in shared memory. Numbers are put in by make() alone; marks are set by any thread of
// any process that has it.
class PlainInodes {
 public:
  static Result<PlainInodes> make(std::span<const std::uint64_t> numbers);
  PlainInodes(PlainInodes&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), slots_(other.slots_) {}
  PlainInodes(const PlainInodes&) = delete;
  PlainInodes& operator=(const PlainInodes&) = delete;
  PlainInodes& operator=(PlainInodes&&) = delete;
  ~PlainInodes();

  [[nodiscard]] bool has(std::uint64_t number) const { return find(number) < slots_; }
  [[nodiscard]] bool is_changed(std::uint64_t number) const;
  void set_changed(std::uint64_t number);

  // What a fork that changes them says meanwhile, and is told.
  struct News {
    std::atomic<std::uint64_t> changed;
    std::atomic<bool> left;  // something was met that was not changed
    std::atomic<bool> stop;
  };
  [[nodiscard]] News& news() { return *reinterpret_cast<News*>(memory_); }

 private:
  PlainInodes(std::byte* memory, std::size_t slots) : memory_(memory), slots_(slots) {}
  // A power of two; at most half of them are used. 0 is no inode's number: an empty slot.
  static constexpr std::size_t kHead = 64;
  static_assert(sizeof(News) <= kHead && std::atomic<bool>::is_always_lock_free);
  [[nodiscard]] std::size_t find(std::uint64_t number) const;  // slots_: not there
  [[nodiscard]] std::size_t place_for(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t* numbers() const {
    return reinterpret_cast<std::uint64_t*>(memory_ + kHead);
  }
  [[nodiscard]] std::atomic<bool>* marks() const {
    return reinterpret_cast<std::atomic<bool>*>(numbers() + slots_);
  }
  [[nodiscard]] std::size_t bytes() const {
    return kHead + slots_ * (sizeof(std::uint64_t) + sizeof(std::atomic<bool>));
  }

  std::byte* memory_;
  std::size_t slots_;
};

}  // namespace userns::shift
