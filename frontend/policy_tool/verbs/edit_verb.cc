// userns-policy edit: a private copy, an editor, a check, and one step to put it in place.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>

#include "common/fd.h"
#include "common/policy_files.h"
#include "common/report.h"
#include "frontend/policy_tool/host_facts.h"
#include "frontend/policy_tool/lock.h"
#include "frontend/policy_tool/replace.h"
#include "frontend/policy_tool/tool.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr int kDiscarded = 1;

void tell(std::string_view text) { (void)write_all(Fd(::dup(STDERR_FILENO)), text); }

std::string editor_here() {
  for (const char* const name : {"VISUAL", "EDITOR"})
    if (const char* const value = std::getenv(name); value != nullptr && *value != '\0')
      return value;
  return ::access("/usr/bin/sensible-editor", X_OK) == 0 ? "sensible-editor" : "vi";
}

// The system that edit was called on, which is where the editor runs and the copy lies, also if
// --root then makes another directory the root.
struct Here {
  std::string editor, temporary;
  Fd root, cwd, temporary_at;
  // How this process names the directory of copies: after --root, by its fd.
  [[nodiscard]] std::string temporary_for_us() const {
    return is_other_root() ? concat("/proc/self/fd/", temporary_at.get()) : temporary;
  }
};

Result<Here> look_here() {
  const char* const where = std::getenv("TMPDIR");
  Here here{.editor = editor_here(),
            .temporary = where != nullptr && where[0] == '/' ? where : "/tmp",
            .root = Fd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)),
            .cwd = Fd(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)),
            .temporary_at = {}};
  here.temporary_at = Fd(::open(here.temporary.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!here.temporary_at.valid())
    return fail_errno(concat("cannot make a private directory in ", here.temporary));
  return here;
}

// The copy, in a directory that only root can enter.
class PrivateCopy {
 public:
  static Result<PrivateCopy> make(const Here& here, std::string_view name, std::string_view text) {
    const auto temporary = here.temporary_for_us();
    std::string directory = concat(temporary, "/userns-policy.XXXXXX");
    if (::mkdtemp(directory.data()) == nullptr)
      return fail_errno(concat("cannot make a private directory in ", here.temporary));
    PrivateCopy copy(directory, concat(directory, "/", name));
    copy.shown_ = concat(here.temporary, copy.path_.substr(temporary.size()));
    const auto file = open_at(AT_FDCWD, copy.path_.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0, 0600);
    const auto written = file ? write_all(*file, text) : std::unexpected(file.error());
    if (!written)
      return fail({}, concat("cannot write a private copy ", copy.shown_), written.error().code);
    return copy;
  }
  PrivateCopy(PrivateCopy&& other) noexcept
      : directory_(std::exchange(other.directory_, {})),
        path_(std::move(other.path_)),
        shown_(std::move(other.shown_)) {}
  PrivateCopy& operator=(PrivateCopy&&) = delete;
  // Whatever the editor left beside it goes, too.
  ~PrivateCopy() {
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  // As people and the editor name it.
  [[nodiscard]] const std::string& shown() const { return shown_; }
  void keep() { directory_.clear(); }

 private:
  PrivateCopy(std::string directory, std::string path)
      : directory_(std::move(directory)), path_(std::move(path)) {}
  std::string directory_, path_, shown_;
};

// The keys of the terminal are the editor's, as in system(3); signals that would end us are noted.
volatile std::sig_atomic_t g_interrupted = 0;

class Signals {
 public:
  Signals() {
    struct sigaction note{};
    note.sa_handler = [](int) { g_interrupted = 1; };
    for (std::size_t i = 0; i < kNoted.size(); ++i) ::sigaction(kNoted[i], &note, &before_[i]);
  }
  ~Signals() {
    for (std::size_t i = 0; i < kNoted.size(); ++i) ::sigaction(kNoted[i], &before_[i], nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  static constexpr std::array kNoted{SIGINT, SIGQUIT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kNoted.size()> before_{};
};

// The shell takes an editor with arguments apart, as git and crontab let it.
Result<void> run_editor(const Here& here, const std::string& path) {
  const std::string command = concat(here.editor, " \"$1\"");
  const char* const words[] = {"/bin/sh", "-c", command.c_str(), "sh", path.c_str(), nullptr};
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("cannot start the editor");
  if (child == 0) {
    for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) ::signal(number, SIG_DFL);
    if (is_other_root() &&
        (::fchdir(here.root.get()) != 0 || ::chroot(".") != 0 || ::fchdir(here.cwd.get()) != 0))
      ::_exit(127);
    ::execv(words[0], const_cast<char* const*>(words));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  g_interrupted = WIFSIGNALED(status) ? g_interrupted : 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return fail(
        {},
        concat(
            "the editor ", userns::quoted(here.editor),
            " cannot be run (status 127): set EDITOR to one that is there; nothing was changed"));
  return fail({}, concat("the editor ", userns::quoted(here.editor),
                         WIFSIGNALED(status) ? " was killed"
                                             : concat(" ended with status ", WEXITSTATUS(status)),
                         "; nothing was changed"));
}

// A line from standard input; nothing at its end or after a signal.
std::optional<std::string> answer() {
  std::string line;
  for (char c = 0; g_interrupted == 0 && ::read(STDIN_FILENO, &c, 1) == 1;) {
    if (c == '\n') return line;
    if (line.size() < 64) line += c;
  }
  return std::nullopt;
}

// True: edit again. False: discard.
bool wants_to_edit_again() {
  for (;;) {
    tell("What now? (e)dit again, (d)iscard, (i)nstall anyway: ");
    const auto said = answer();
    if (!said || *said == "d" || *said == "x" || *said == "discard") return false;
    if (*said == "e" || *said == "edit") return true;
    if (*said == "i" || *said == "install")
      tell(
          "Text with errors is never installed: it would take from users what they have, or give "
          "it to others.\n");
  }
}

struct Job {
  Here here;
  PolicyFile kind;
  std::string path;  // as installed
  Snapshot before;
  PrivateCopy copy;
};

bool has_errors(std::span<const Finding> findings) {
  return std::ranges::any_of(findings,
                             [](const Finding& f) { return f.severity == Severity::kError; });
}

// The policy with this text in the place of the file that is edited, which may be new.
std::vector<PolicyText> policy_with(const Job& job, const std::string& text) {
  auto paths = installed_paths(job.kind);
  if (!contains(paths, job.path)) paths.push_back(job.path);
  std::ranges::sort(paths.begin() + 1, paths.end());
  std::vector<PolicyText> all;
  for (const auto& path : paths)
    all.push_back({job.kind, path, path == job.path ? text : text_of(path)});
  return all;
}

bool same_finding(const Finding& a, const Finding& b) {
  return a.file == b.file && a.line == b.line && a.id == b.id;
}

// Of the file, and of others of the policy what they had not before: a base that is given twice.
std::vector<Finding> check_copy(const Job& job, const std::string& text) {
  const auto facts = host_facts({});
  const bool is_subuid = job.kind == PolicyFile::kSubuid;
  PolicyText other{is_subuid ? PolicyFile::kSubgid : PolicyFile::kSubuid, {}, {}};
  other.path = installed_path(other.kind);
  other.text = text_of(other.path);
  if (!has_directory(job.kind)) return check({job.kind, job.path, text}, facts, &other);
  auto found = check(policy_with(job, text), facts, nullptr);
  const auto before = check(policy_with(job, job.before.text), facts, nullptr);
  std::erase_if(found, [&](const Finding& f) {
    return f.file != job.path &&
           std::ranges::any_of(before, [&](const Finding& b) { return same_finding(f, b); });
  });
  return found;
}

int failed_with(Job& job, const Error& error, const std::string& text) {
  if (text != job.before.text) {
    job.copy.keep();
    tell(concat("userns-policy: what you wrote is kept in ", job.copy.shown(), "\n"));
  }
  return tool_failure(error);
}

int edit(Job& job) {
  for (;;) {
    if (const auto edited = run_editor(job.here, job.copy.shown()); !edited)
      return tool_failure(edited.error());
    const auto text = read_policy(job.copy.path());
    if (!text) return tool_failure(text.error());
    if (*text == job.before.text) {
      tell(concat(job.before.path, " is unchanged\n"));
      return 0;
    }
    const auto findings = check_copy(job, *text);
    for (const auto& finding : findings) tell(to_text(finding, wants_colour(STDERR_FILENO)));
    if (has_errors(findings)) {
      if (wants_to_edit_again()) continue;
      tell(concat("discarded; ", job.before.path, " is unchanged\n"));
      return kDiscarded;
    }
    if (const auto done = replace(job.before, *text); !done)
      return failed_with(job, done.error(), *text);
    tell(concat(job.before.path, " is changed\n"));
    return 0;
  }
}

}  // namespace

namespace {

int failure(std::string text) {
  return tool_failure({.rule = {}, .code = 0, .text = std::move(text)});
}

// The installed file that a word names: "net.conf", "net.conf.d/50-lab.conf", or its whole path.
// Empty: none.
std::string file_named(std::string_view word, std::optional<PolicyFile> kind) {
  if (!kind) return {};
  const auto main = installed_path(*kind);
  const auto directory = main.substr(0, main.rfind('/') + 1);
  const auto path = word.starts_with('/') ? std::string(word) : concat(directory, word);
  if (path == main) return path;
  const auto within = concat(main, ".d/");
  if (!has_directory(*kind) || !path.starts_with(within)) return {};
  std::vector<std::string> name{path.substr(within.size())};
  keep_conf_names(name);
  return name.empty() || name.front().contains('/') ? std::string{} : path;
}

constexpr std::string_view kFiles =
    "subuid, subgid, net.conf, cgroup.conf, net.conf.d/NAME.conf and cgroup.conf.d/NAME.conf";

}  // namespace

int edit_verb(const Words& words) {
  if (words.names.size() != 1)
    return failure(concat("edit takes one of ", kFiles, ", as in userns-policy edit net.conf"));
  const auto kind = kind_of(words.names[0]);
  const auto path = file_named(words.names[0], kind);
  if (path.empty())
    return failure(
        concat(userns::quoted(words.names[0]), " is none of the policy files: ", kFiles));
  if (::geteuid() != 0)
    return failure(
        concat("only root can change ", path, ": sudo userns-policy edit ", words.names[0]));
  auto here = look_here();
  if (!here) return tool_failure(here.error());
  if (auto entered = enter_root(words); !entered) return tool_failure(entered.error());
  if (auto made = make_directory_of(path); !made) return tool_failure(made.error());
  const Signals signals;
  // The lock of the main file is for its directory, too.
  const std::vector<std::string> paths{installed_path(*kind)};
  const auto lock = PolicyLock::take(paths, Hold::kFiles);
  if (!lock) return tool_failure(lock.error());
  auto before = snapshot(path);
  if (!before) return tool_failure(before.error());
  auto copy = PrivateCopy::make(*here, path.substr(path.rfind('/') + 1), before->text);
  if (!copy) return tool_failure(copy.error());
  Job job{std::move(*here), *kind, path, std::move(*before), std::move(*copy)};
  return edit(job);
}

}  // namespace userns::frontend
