#include "frontend/oci/config/node.h"

#include "policy/text.h"

namespace userns::frontend {

void FirstError::add(std::string_view place, std::string_view what) {
  if (!error_) error_ = Error{.rule = {}, .code = 0, .text = concat(place, " ", what)};
}

bool Node::is(bool right, std::string_view what) const {
  if (value_ == nullptr || value_->is_null()) return false;
  if (!right) refuse(concat("is not ", what));
  return right;
}

bool Node::asks() const {
  if (value_ == nullptr || value_->is_null()) return false;
  if (value_->is_boolean()) return value_->get<bool>();
  if (value_->is_number()) return *value_ != 0;
  if (value_->is_string()) return !value_->get_ref<const std::string&>().empty();
  return !value_->empty();
}

Node Node::operator[](const char* name) const {
  const auto place = place_.empty() ? std::string(name) : concat(place_, ".", name);
  if (!is(value_ != nullptr && value_->is_object(), "an object")) return {nullptr, place, *errors_};
  const auto found = value_->find(name);
  return {found == value_->end() || found->is_null() ? nullptr : &*found, place, *errors_};
}

Node Node::item(std::size_t index) const {
  return {&(*value_)[index], concat(place_, "[", index, "]"), *errors_};
}

std::string Node::text() const {
  if (!is(value_ != nullptr && value_->is_string(), "a text")) return {};
  auto text = value_->get<std::string>();
  if (text.find('\0') == std::string::npos) return text;
  refuse("holds a NUL byte");
  return {};
}

bool Node::flag() const {
  return is(value_ != nullptr && value_->is_boolean(), "true or false") && value_->get<bool>();
}

std::uint64_t Node::number(std::uint64_t most) const {
  if (!is(value_ != nullptr && value_->is_number_unsigned(), "a whole number, 0 or more")) return 0;
  const auto number = value_->get<std::uint64_t>();
  if (number <= most) return number;
  refuse(concat("is not a number up to ", most));
  return 0;
}

std::int64_t Node::integer(std::int64_t least, std::int64_t most) const {
  if (!is(value_ != nullptr && value_->is_number_integer(), "a whole number")) return 0;
  const bool too_large = value_->is_number_unsigned() &&
                         value_->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const auto number = too_large ? INT64_MAX : value_->get<std::int64_t>();
  if (number >= least && number <= most) return number;
  refuse(concat("is not a number from ", least, " to ", most));
  return 0;
}

void Node::for_each(const std::function<void(const Node&)>& act) const {
  if (!is(value_ != nullptr && value_->is_array(), "a list")) return;
  if (value_->size() > kMostItems) return refuse(concat("has more than ", kMostItems, " items"));
  for (std::size_t i = 0; i < value_->size(); ++i) act(item(i));
}

std::vector<std::string> Node::texts() const {
  std::vector<std::string> texts;
  for_each([&](const Node& item) {
    item.require();
    texts.push_back(item.text());
  });
  return texts;
}

void Node::for_each_member(const std::function<void(const std::string&, const Node&)>& act) const {
  if (!is(value_ != nullptr && value_->is_object(), "an object")) return;
  for (const auto& [name, value] : value_->items())
    act(name, Node(&value, concat(place_, ".", name), *errors_));
}

std::vector<std::pair<std::string, std::string>> Node::pairs() const {
  std::vector<std::pair<std::string, std::string>> pairs;
  for_each_member(
      [&](const std::string& name, const Node& one) { pairs.emplace_back(name, one.text()); });
  return pairs;
}

void Node::require() const {
  if (value_ == nullptr || value_->is_null()) refuse("is missing");
}

void Node::must_not_ask(std::string_view why) const {
  if (asks()) refuse(why);
}

}  // namespace userns::frontend
