// Our side of the container's terminal, which is its console: what it says goes to the log and is
// remembered for those who watch, and what they type goes in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "frontend/monitor/console/console_log.h"
#include "frontend/monitor/console/ring.h"

namespace userns::frontend {

class Terminal {
 public:
  // `master`: none where the container has no terminal. Nothing here blocks.
  Terminal(Fd master, ConsoleLog& log);

  [[nodiscard]] int raw() const { return master_.get(); }
  [[nodiscard]] const Ring& said() const { return said_; }
  // What to poll(2) for. A watcher that is waited for holds back what it says.
  [[nodiscard]] short events(bool is_held_back) const;
  void move(short events);
  // False: there is nothing more now.
  bool read();
  void read_rest();

  void type(std::string_view text) { typed_ += text; }
  // It takes no more just now: who types has to wait.
  [[nodiscard]] bool is_full() const;
  void resize(std::uint16_t rows, std::uint16_t columns) const;
  void close() { master_.reset(); }

 private:
  void write_typed();

  Fd master_;
  Fd held_;
  ConsoleLog& log_;
  Ring said_;
  std::string typed_;  // and not yet taken
};

}  // namespace userns::frontend
