#include "frontend/doctor/nic_check.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "common/config.h"
#include "common/fd.h"
#include "frontend/run/helper.h"
#include "policy/text.h"

namespace userns::frontend {

std::vector<NicProblem> nic_problems(std::optional<pid_t> pid) {
  constexpr std::size_t kLongest = 1UL << 20U;
  const auto path = concat(std::string_view(kHelperDir), "/lxc-user-nic");
  auto pipe = make_pipe();
  if (!pipe || ::access(path.c_str(), X_OK) != 0) return {};
  std::vector<std::string> words{"check", "--json"};
  if (pid) words.insert(words.end(), {"--pid", concat(*pid)});
  auto helper = Helper::start(path.c_str(), words, &pipe->write);
  pipe->write.reset();
  const auto said = helper ? read_all(pipe->read, kLongest) : std::unexpected(helper.error());
  if (!said || !helper->finish()) return {};
  std::vector<NicProblem> problems;
  const auto list = nlohmann::json::parse(*said, nullptr, false);
  if (!list.is_array()) return {};
  for (const auto& one : list)
    problems.push_back({.host = one.value("host", ""),
                        .container = one.value("container", ""),
                        .text = one.value("problem", "")});
  return problems;
}

}  // namespace userns::frontend
