// A person at the console of a container that runs.
#pragma once

#include <optional>
#include <string>

#include "frontend/container/connection.h"
#include "frontend/run/signals.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

struct ConsoleWish {
  std::string escape;  // keys that detach; empty: none do
  bool leash = false;  // the container stops when we are asked to end, and with us
};

// A connection whose request was a console, and the signals of whoever sits there, taken.
struct Attached {
  Connection connection;
  Signals signals;
};
Result<Signals> take_console_signals();
// Hands on what came with a leash: the new size of the window, or the wish that the container
// stops. False of a size.
bool hand_on(const Container& container, const Connection& console, int number);

// Relays fds 0 and 1 until the container ends, or until the escape keys: then the container goes
// on, and the status is 0. First comes what the console remembers. The end of input detaches
// nobody.
Result<int> watch_console(const Container& container, Attached attached, const ConsoleWish& wish);
Result<int> attach_console(const Container& container, const ConsoleWish& wish);

// Of the terminal at fd 0 or 1; nothing where there is none.
std::optional<WindowSize> window_size();

// "^]^]", "^aq", "^A q": what stands after a caret is a control key. "none": empty.
Result<std::string> parse_escape(std::string_view text);

// Finds a sequence of keys in what is typed, piece by piece. What may be its beginning is held back
// until that is known. Pure.
class EscapeKeys {
 public:
  explicit EscapeKeys(std::string keys) : keys_(std::move(keys)) {}
  // What is not part of it; `found` when it was complete: what follows it is dropped.
  struct Typed {
    std::string text;
    bool found = false;
  };
  Typed take(std::string_view piece);
  [[nodiscard]] bool holds_back() const { return matched_ > 0; }

 private:
  std::string keys_;
  std::size_t matched_ = 0;
};

}  // namespace userns::frontend
