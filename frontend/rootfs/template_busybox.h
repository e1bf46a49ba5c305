// A small system made on the spot from the host's static busybox: needs nothing from outside.
//
// It boots with busybox's init: addresses by DHCP on every interface that has none, a shell on the
// console, an orderly stop on SIGUSR2 (or `poweroff` inside).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/fd.h"
#include "policy/error.h"

namespace userns::frontend {

struct Busybox {
  Fd program;
  std::vector<std::string> applets;  // paths without the leading "/": "sbin/init"
};
// From outside. Fails where there is none, or where it is not static: then it would not run alone.
Result<Busybox> find_busybox();

// Inside, in the empty directory `top`. Returns the number of files.
Result<std::uint64_t> make_busybox_tree(const Fd& top, const Busybox& busybox);

}  // namespace userns::frontend
