// lxc-user-nic, for whom LXC, rootlesskit and rootless Docker take it: their words to userns-net,
// and its answer back. Has no privilege; what it asks for, userns-net judges. Contract:
// userns-net(8).
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/caller.h"
#include "common/config.h"
#include "common/fd.h"
#include "frontend/nics/health.h"
#include "frontend/nics/host_ends.h"
#include "frontend/run/helper.h"
#include "frontend/spec/printable.h"
#include "frontend/spec/tell.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr const char* kProgram = "lxc-user-nic";
constexpr std::size_t kLongestAnswer = 4096;
constexpr const char* kUsage =
    "usage: lxc-user-nic create LXCPATH NAME PID veth BRIDGE [IFNAME] |"
    " delete LXCPATH NAME NETNS veth BRIDGE [IFNAME] | list [--all] [--json] | check [--pid PID] "
    "[--json]";

using Words = std::vector<std::string>;

Result<void> put(std::string_view text) {
  return write_all(Fd(::dup(STDOUT_FILENO)), printable_lines(text));
}

// What userns-net prints; its refusal, in its words.
Result<std::string> ask_userns_net(const Words& words) {
  auto pipe = TRY(make_pipe());
  const auto path = concat(std::string_view(kHelperDir), "/userns-net");
  auto helper = Helper::start(path.c_str(), words, &pipe.write);
  TRY(helper ? helper->finish() : std::unexpected(helper.error()));
  pipe.write.reset();
  return read_all(pipe.read, kLongestAnswer);
}

Result<void> create(const Words& words) {
  Words add{"add",      "--netns", concat("pid:", words[3]), "--container", words[2],
            "--bridge", words[5]};
  if (words.size() == 7) add.insert(add.end(), {"--name", words[6]});
  const auto answer = TRY(ask_userns_net(add));
  const auto nic = nlohmann::json::parse(answer, nullptr, false);
  if (!nic.is_object()) return fail({}, "userns-net's answer is not one");
  const std::string host = nic.value("host", "");
  const auto said = put(concat(nic.value("name", ""), ":", nic.value("ifindex", 0), ":", host, ":",
                               nic.value("host_ifindex", 0), "\n"));
  // A NIC that nobody was told of is of no use.
  if (!said) (void)ask_userns_net({"del", host});
  return said;
}

// LXC gives the host end, or the name at the creation; container and bridge must fit as well, since
// the slot may have another one's NIC by now. Gone already is well.
Result<void> remove(const Words& words) {
  const auto nics = TRY(all_nics());
  const auto uid = Caller::identify().uid;
  const auto name = words.size() == 7 ? std::string_view(words[6]) : std::string_view{};
  const NicWanted wanted{words[2], words[5], name};
  std::vector<const HostEnd*> own;
  const HostEnd* other = nullptr;
  for (const auto& nic : nics) {
    if (!fits(nic, wanted)) continue;
    if (nic.slot.owner == uid || uid == Uid{0})
      own.push_back(&nic);
    else
      other = &nic;
  }
  if (own.size() > 1)
    return fail("NR-DEL", concat(own.size(),
                                 " NICs fit: give the host end of one for IFNAME; "
                                 "lxc-user-nic list shows them"));
  if (own.empty() && other != nullptr)
    return fail("NR-DEL", concat("the NIC ", other->name, " belongs to uid ",
                                 other->slot.owner.value(), ", not to the caller"));
  if (own.empty()) return {};
  const auto done = ask_userns_net({"del", own.front()->name});
  return done ? Result<void>{} : std::unexpected(done.error());
}

Result<void> list(std::span<const std::string> options) {
  const auto has = [&](std::string_view option) {
    return std::ranges::find(options, option) != options.end();
  };
  if (options.size() != static_cast<std::size_t>(has("--all") + has("--json")))
    return fail("NR-ARGS", kUsage);
  const auto nics = TRY(all_nics());
  return put(has("--all") ? list_all_text(nics, has("--json")) : list_text(nics, has("--json")));
}

// What is wrong: of the NICs in the network namespace of a process, or of all that are the
// caller's.
Result<void> check(std::span<const std::string> options) {
  const bool json = std::ranges::find(options, "--json") != options.end();
  const auto named = std::ranges::find(options, "--pid");
  const bool has_pid = named != options.end();
  const auto pid = has_pid && named + 1 != options.end() ? parse_decimal(named[1]) : std::nullopt;
  if (options.size() != static_cast<std::size_t>(json + 2 * has_pid) || has_pid != pid.has_value())
    return fail("NR-ARGS", kUsage);
  const auto uid = Caller::identify().uid;
  const auto nics = TRY(pid ? nics_of(static_cast<pid_t>(*pid)) : all_nics());
  std::string lines;
  auto array = nlohmann::ordered_json::array();
  for (const auto& nic : nics) {
    if (!pid && uid != Uid{0} && nic.slot.owner != uid) continue;
    for (const auto& text : troubles(nic)) {
      array.push_back(
          {{"host", nic.name}, {"container", nic.word("container")}, {"problem", text}});
      lines += concat(nic.name, " container=", nic.word("container"), ": ", text, "\n");
    }
  }
  return put(json ? concat(array.dump(), "\n") : lines);
}

Result<void> serve(const Words& words) {
  const auto verb = words.empty() ? std::string_view{} : std::string_view(words[0]);
  if (verb == "--version" && words.size() == 1)
    return put(concat(kProgram, " (userns suite) ", std::string_view(kVersion), "\n"));
  if (verb == "check") return check(std::span(words).subspan(1));
  if (verb == "list") return list(std::span(words).subspan(1));
  const bool is_lxcs = words.size() >= 6 && words.size() <= 7 && words[4] == "veth";
  if (verb == "create" && is_lxcs) return create(words);
  if (verb == "delete" && is_lxcs) return remove(words);
  return fail("NR-ARGS", kUsage);
}

}  // namespace
}  // namespace userns::frontend

int main(int argc, char** argv) {
  using namespace userns;
  const auto done = frontend::serve({argv + (argc > 0 ? 1 : 0), argv + argc});
  if (done) return 0;
  // userns-net's own words begin with its name.
  Error error = done.error();
  constexpr std::string_view kHelper = "userns-net: ";
  const bool is_helpers = error.text.starts_with(kHelper);
  if (is_helpers) error.text.erase(0, kHelper.size());
  frontend::tell(is_helpers ? "userns-net" : frontend::kProgram, error);
  return 1;
}
