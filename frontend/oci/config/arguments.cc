#include "frontend/oci/config/arguments.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <string_view>

#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

namespace po = boost::program_options;

struct Verb {
  std::string_view name;
  std::string_view operands;
  std::string_view does;
};
constexpr std::array kVerbs{
    Verb{"create", "ID", "make a container of a bundle, up to its start"},
    Verb{"start", "ID", "run the process of a created container"},
    Verb{"run", "ID", "create, start, and wait for the end"},
    Verb{"state", "ID", "print the state as JSON"},
    Verb{"kill", "ID [SIGNAL]", "send a signal (TERM) to the container's process"},
    Verb{"delete", "ID", "remove a container that has ended"},
    Verb{"list", "", "list containers"},
    Verb{"exec", "ID [COMMAND...]", "run one more process in a container"},
    Verb{"ps", "ID", "list the processes of a container"},
    Verb{"pause", "ID", "stop all processes of a container"},
    Verb{"resume", "ID", "let them go on"},
    Verb{"update", "ID", "set new limits"},
    Verb{"features", "", "print what this runtime does as JSON"}};

// As other runtimes name them.
struct LimitOption {
  const char* name;
  const char* field;
};
constexpr std::array kLimits{LimitOption{"memory", "memory.limit"},
                             LimitOption{"memory-reservation", "memory.reservation"},
                             LimitOption{"memory-swap", "memory.swap"},
                             LimitOption{"cpu-share", "cpu.shares"},
                             LimitOption{"cpu-quota", "cpu.quota"},
                             LimitOption{"cpu-period", "cpu.period"},
                             LimitOption{"cpu-burst", "cpu.burst"},
                             LimitOption{"cpuset-cpus", "cpu.cpus"},
                             LimitOption{"cpuset-mems", "cpu.mems"},
                             LimitOption{"pids-limit", "pids.limit"},
                             LimitOption{"blkio-weight", "blockIO.weight"}};

void take_limits(const po::variables_map& found, Arguments& told) {
  for (const auto& limit : kLimits)
    if (found.contains(limit.name))
      told.limits.push_back({.field = limit.field, .text = found[limit.name].as<std::string>()});
}

po::options_description global_options(Arguments& a) {
  po::options_description options("Options before the verb");
  options.add_options()                                                                       //
      ("root", po::value(&a.root), "where containers are kept (XDG_RUNTIME_DIR/userns-oci)")  //
      ("log", po::value(&a.log), "errors are written to this file, too")                      //
      ("log-format", po::value<std::string>(), "text or json")                                //
      ("cgroup-manager", po::value(&a.cgroup_manager), "cgroupfs, systemd or disabled")       //
      ("systemd-cgroup", "as --cgroup-manager systemd")                                       //
      ("rootless", po::value<std::string>(), "taken and not used: it is always so")           //
      ("debug", "taken and not used")                                                         //
      ("help,h", "this text")                                                                 //
      ("version,v", "the version");
  return options;
}

po::options_description verb_options(Arguments& a) {
  po::options_description options("Options of verbs");
  options.add_options()                                                                           //
      ("bundle,b", po::value(&a.bundle), "the directory of config.json (the working directory)")  //
      ("pid-file", po::value(&a.pid_file), "the process's number is written to this file")        //
      ("console-socket", po::value(&a.console_socket), "a socket that takes the terminal")        //
      ("preserve-fds", po::value(&a.preserve_fds), "file descriptors 3, 4, ... that stay open")   //
      ("no-pivot", "taken and not used: the root is always pivoted to")                           //
      ("no-new-keyring", "taken and not used: the caller's keyring is never handed in")           //
      ("no-subreaper", "taken and not used")                                                      //
      ("detach,d", po::bool_switch(&a.detach), "do not wait for the end")                         //
      ("keep", po::bool_switch(&a.keep), "run: do not delete it at the end")                      //
      ("force,f", po::bool_switch(&a.force), "delete: kill it first; what is not there is well")  //
      ("all,a", po::bool_switch(&a.all), "kill: all of its processes")                            //
      ("process,p", po::value(&a.process_file), "exec: a file with a process object")             //
      ("tty,t", po::bool_switch(&a.tty), "exec: a terminal")                                      //
      ("cwd", po::value(&a.cwd), "exec: the working directory")                                   //
      ("env,e", po::value(&a.env), "exec: NAME=VALUE")                                            //
      ("user,u", po::value(&a.user), "exec: UID[:GID]")                                           //
      ("no-new-privs", po::bool_switch(&a.no_new_privs), "exec: without new privileges")          //
      ("quiet,q", po::bool_switch(&a.quiet), "list: identifiers only")                            //
      ("format", po::value<std::string>(), "list, ps: table or json")                             //
      ("resources,r", po::value(&a.resources), "update: a file with a resources object, or -");
  for (const auto& limit : kLimits)
    options.add_options()(limit.name, po::value<std::string>(), "update: a new limit, or -1");
  return options;
}

Result<void> parse_part(const std::vector<std::string>& words, const po::options_description& of,
                        po::variables_map& found) {
  try {
    po::store(
        po::command_line_parser(words)
            .options(of)
            .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
            .positional(po::positional_options_description{})
            .run(),
        found);
    po::notify(found);
  } catch (const po::error& error) {
    return fail({}, concat(error.what(), ": see userns-oci --help"));
  }
  return {};
}

// Options end with the first word that is none: the words behind it may be anything.
std::size_t count_options(const std::vector<std::string>& words, std::size_t first,
                          const po::options_description& options) {
  std::size_t at = first;
  while (at < words.size() && words[at].size() > 1 && words[at].starts_with('-')) {
    const auto& word = words[at++];
    if (word == "--") break;
    const auto name =
        word.starts_with("--") ? word.substr(2, word.find('=') - 2) : word.substr(0, 2);
    const auto* const option = options.find_nothrow(name, false);
    const bool has_value =
        word.starts_with("--") ? word.find('=') != std::string::npos : word.size() > 2;
    if (option != nullptr && !has_value && option->semantic()->min_tokens() > 0) ++at;
  }
  return std::min(at, words.size());
}

std::vector<std::string> slice(const std::vector<std::string>& words, std::size_t first,
                               std::size_t end) {
  const auto at = [&](std::size_t i) { return words.begin() + static_cast<std::ptrdiff_t>(i); };
  std::vector<std::string> part(at(first), at(end));
  std::erase(part, "--");
  return part;
}

Result<void> take_format(const po::variables_map& found, const char* name, bool& json,
                         std::string_view other) {
  if (!found.contains(name)) return {};
  const auto& word = found[name].as<std::string>();
  json = word == "json";
  if (json || word == other) return {};
  return fail({}, concat("--", std::string_view(name), " is json or ", other));
}

Result<void> take_verb(const std::vector<std::string>& words, std::size_t at, Arguments& told) {
  told.verb = words[at++];
  if (std::ranges::find(kVerbs, told.verb, &Verb::name) == kVerbs.end())
    return fail({}, concat("there is no verb ", quoted(told.verb), ": see userns-oci --help"));
  const auto options = verb_options(told);
  po::variables_map found;
  const bool is_exec = told.verb == "exec";
  // "kill ID TERM" and "delete ID --force" are written in both orders; a command is not looked at.
  while (at < words.size()) {
    const auto end = count_options(words, at, options);
    if (auto parsed = parse_part(slice(words, at, end), options, found); !parsed) return parsed;
    at = end;
    if (at == words.size()) break;
    if (told.id.empty())
      told.id = words[at++];
    else
      told.words.push_back(words[at++]);
    if (is_exec && !told.id.empty()) {
      told.words.insert(told.words.end(), words.begin() + static_cast<std::ptrdiff_t>(at),
                        words.end());
      if (!told.words.empty() && told.words.front() == "--") told.words.erase(told.words.begin());
      break;
    }
  }
  take_limits(found, told);
  return take_format(found, "format", told.json, "table");
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& words) {
  Arguments told;
  const auto options = global_options(told);
  po::variables_map found;
  const auto end = count_options(words, 0, options);
  TRY(parse_part(slice(words, 0, end), options, found));
  TRY(take_format(found, "log-format", told.json_log, "text"));
  if (found.contains("systemd-cgroup")) told.cgroup_manager = "systemd";
  if (found.contains("help") || found.contains("version")) {
    told.verb = found.contains("help") ? "--help" : "--version";
    return told;
  }
  if (end == words.size()) return fail({}, "a verb is missing: see userns-oci --help");
  TRY(take_verb(words, end, told));
  constexpr unsigned kMostFds = 65536;
  if (told.preserve_fds > kMostFds) return fail({}, "--preserve-fds is not a number of fds");
  const bool needs_id = told.verb != "list" && told.verb != "features";
  if (needs_id && told.id.empty()) return fail({}, concat(told.verb, " needs a container id"));
  return told;
}

std::string usage() {
  std::string text = "usage: userns-oci [OPTIONS] VERB [OPTIONS] [ID] ...\n\n";
  for (const auto& verb : kVerbs) {
    std::string line = concat("  ", verb.name, " ", verb.operands);
    constexpr std::size_t kColumn = 26;
    line.append(line.size() < kColumn ? kColumn - line.size() : 1, ' ');
    text += concat(line, verb.does, "\n");
  }
  text += "\nAn OCI runtime: see userns-oci(1) for all options.\n";
  return text;
}

}  // namespace userns::frontend
