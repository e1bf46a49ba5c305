// Files of LXC in our words: lxc.container.conf(5) as a config file of userns-run, lxc-usernet(5)
// as net.conf(5).
//
// Nothing is dropped in silence: what has no counterpart, or does not hold here, is a comment with
// its reason. What is written is well-formed (ConfigFile::parse, parse_net_conf). Pure: included
// files come from a function of the caller's.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct NamedText {
  std::string path, text;
};
// A file, or the *.conf files of a directory.
using LxcReader = std::function<Result<std::vector<NamedText>>(const std::string& path)>;

std::string translate_lxc_config(const NamedText& file, const LxcReader& read);
std::string translate_lxc_usernet(const NamedText& file);

}  // namespace userns::frontend
