// A value of a JSON document and its place in it ("linux.namespaces[2].type"): read into a type, or
// refused with that place. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

using Json = nlohmann::json;

// All nodes of a document have one: the first refusal is kept, and what is read after it is empty.
class FirstError {
 public:
  void add(std::string_view place, std::string_view what);
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  std::optional<Error> error_;
};

class Node {
 public:
  // All three outlive the node. No value: the document has no such place.
  Node(const Json* value, std::string place, FirstError& errors)
      : value_(value), place_(std::move(place)), errors_(&errors) {}

  [[nodiscard]] bool there() const { return value_ != nullptr; }
  // There, and neither an empty text, list or object, nor 0, nor false: it asks for something.
  [[nodiscard]] bool asks() const;
  [[nodiscard]] const std::string& place() const { return place_; }
  // A member of this object.
  [[nodiscard]] Node operator[](const char* name) const;

  // What is not there is empty, 0, false; another type is refused.
  [[nodiscard]] std::string text() const;  // without a NUL
  [[nodiscard]] bool flag() const;
  [[nodiscard]] std::uint64_t number(
      std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) const;
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most) const;
  [[nodiscard]] std::vector<std::string> texts() const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> pairs() const;
  // At most kMostItems.
  void for_each(const std::function<void(const Node&)>& act) const;
  void for_each_member(const std::function<void(const std::string&, const Node&)>& act) const;
  // The number of this text in a table; refused if it is in none.
  template <class Table>
  [[nodiscard]] auto one_of(const Table& table) const -> decltype(table.begin()->second) {
    const auto word = text();
    for (const auto& [name, value] : table)
      if (word == name) return value;
    if (there()) refuse("is not a value that this runtime knows");
    return {};
  }

  void require() const;
  void refuse(std::string_view what) const { errors_->add(place_, what); }
  // A field that asks for what this runtime does not do.
  void must_not_ask(std::string_view why = "is not supported") const;

 private:
  static constexpr std::size_t kMostItems = 65536;
  bool is(bool right, std::string_view what) const;
  [[nodiscard]] Node item(std::size_t index) const;

  const Json* value_;
  std::string place_;
  FirstError* errors_;
};

}  // namespace userns::frontend
