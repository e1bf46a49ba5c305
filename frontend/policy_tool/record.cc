#include "frontend/policy_tool/record.h"

#include <libaudit.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "common/fd.h"
#include "frontend/policy_tool/check/finding.h"
#include "frontend/policy_tool/host_facts.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kLongest = 1000;  // a record of the audit system has 8 KiB at most

std::string& command() {
  static std::string words;
  return words;
}

bool is_plain(char c) { return c > ' ' && c < 127 && !std::string_view("%|'\"").contains(c); }

std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(c))
      out += c;
    else
      out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
  }
  return out;
}

std::vector<std::string_view> sorted_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (const auto& line : lines_of(text)) lines.push_back(line.text);
  std::ranges::sort(lines);
  return lines;
}

// Lines that `a` has more often than `b`.
std::string only_in(const std::vector<std::string_view>& a,
                    const std::vector<std::string_view>& b) {
  std::vector<std::string_view> lines;
  std::ranges::set_difference(a, b, std::back_inserter(lines));
  std::string out;
  for (const auto line : lines) {
    const auto one = encoded(line);
    if (out.size() + one.size() > kLongest) return concat(out, "|...", lines.size(), "%20lines");
    out += concat(out.empty() ? "" : "|", one);
  }
  return out;
}

void to_audit(std::string_view text, bool is_well) {
  const Fd kernel(::audit_open());
  if (!kernel.valid()) return;
  // Without audit, syslog alone has it.
  [[maybe_unused]] const int sent = ::audit_log_user_message(
      kernel.get(), AUDIT_USYS_CONFIG, std::string(text).c_str(), "", "", "", is_well ? 1 : 0);
}

// As the helpers do: a reader that is slow or gone holds nobody up.
void to_syslog(std::string_view text) {
  const Fd log(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const std::string line =
      concat("<", LOG_AUTHPRIV | LOG_NOTICE, ">userns-policy[", ::getpid(), "]: ", text);
  const sockaddr_un to{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  (void)::sendto(log.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

}  // namespace

void set_command(std::span<const std::string_view> words) {
  command().clear();
  for (const auto word : words) command() += concat(command().empty() ? "" : " ", word);
}

std::string change_words(std::string_view command, std::string_view path, std::string_view before,
                         std::string_view after) {
  const auto old_lines = sorted_lines(before), new_lines = sorted_lines(after);
  return concat("file=", encoded(path), " command=", encoded(command.substr(0, kLongest)),
                " before=", only_in(old_lines, new_lines),
                " after=", only_in(new_lines, old_lines));
}

void record_change(std::string_view path, std::string_view before, std::string_view after,
                   ChangeEnd end) {
  // The login that sudo or su came from; the kernel adds it to its own records.
  const auto login = text_of("/proc/self/loginuid");
  const auto words = concat("uid=", ::getuid(), " auid=", login.empty() ? "none" : login, " ",
                            change_words(command(), path, before, after));
  const bool is_well = end == ChangeEnd::kGranted;
  const std::string_view rule = is_well ? "none" : "system", what = is_well ? "granted" : "failed";
  to_audit(concat("op=userns-policy ", words, " rule=", rule, " end=", what), is_well);
  to_syslog(concat(what, " ", words, " rule=", rule));
}

}  // namespace userns::frontend
