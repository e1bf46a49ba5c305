// Where the terminal of a container's process goes, and the file that says its number.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

// What is done with the master side of a terminal.
using TakeTerminal = std::function<Result<void>(Fd)>;

// To the socket (SOCK_STREAM) that an engine listens on: the fd, with the name of the terminal.
Result<TakeTerminal> to_console_socket(const std::string& path);

// A socket that somebody listens on; `name`: the option or field that says its path.
Result<Fd> connect_to(std::string_view name, const std::string& path);
// Some text, and an fd with it.
Result<void> send_with_fd(const Fd& socket, std::string_view text, const Fd& fd);

// In decimal; the file is replaced whole.
Result<void> write_pid_file(const std::string& path, pid_t pid);

}  // namespace userns::frontend
