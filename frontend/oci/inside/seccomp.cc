#include "frontend/oci/inside/seccomp.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "common/fd.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

std::uint32_t action_of(const SeccompAnswer& answer) {
  switch (answer.action) {
    case SeccompAction::kKillThread:
      return SCMP_ACT_KILL_THREAD;
    case SeccompAction::kKillProcess:
      return SCMP_ACT_KILL_PROCESS;
    case SeccompAction::kTrap:
      return SCMP_ACT_TRAP;
    case SeccompAction::kErrno:
      return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(answer.number));
    case SeccompAction::kTrace:
      return SCMP_ACT_TRACE(static_cast<std::uint32_t>(answer.number));
    case SeccompAction::kLog:
      return SCMP_ACT_LOG;
    case SeccompAction::kNotify:
      return SCMP_ACT_NOTIFY;
    case SeccompAction::kAllow:
      break;
  }
  return SCMP_ACT_ALLOW;
}

scmp_compare op_of(SeccompOp op) {
  switch (op) {
    case SeccompOp::kNotEqual:
      return SCMP_CMP_NE;
    case SeccompOp::kLess:
      return SCMP_CMP_LT;
    case SeccompOp::kLessEqual:
      return SCMP_CMP_LE;
    case SeccompOp::kGreaterEqual:
      return SCMP_CMP_GE;
    case SeccompOp::kGreater:
      return SCMP_CMP_GT;
    case SeccompOp::kMaskedEqual:
      return SCMP_CMP_MASKED_EQ;
    case SeccompOp::kEqual:
      break;
  }
  return SCMP_CMP_EQ;
}

std::unexpected<Error> failed(std::string_view what, int code) {
  return fail({}, concat("linux.seccomp: cannot ", what), -code);
}

Result<void> add_architectures(const Context& context, const SeccompRules& rules) {
  for (const auto& name : rules.architectures) {
    const auto token = ::seccomp_arch_resolve_name(name.c_str());
    if (token == 0) continue;  // of a CPU that this libseccomp does not know
    const int done = ::seccomp_arch_add(context.get(), token);
    if (done == -EDOM) continue;  // of the other byte order: no process here makes its calls
    if (done != 0 && done != -EEXIST) return failed(concat("add architecture ", name), done);
  }
  return {};
}

// Several conditions on one argument cannot be in one rule of the kernel's: one of them is enough.
bool has_argument_twice(const std::vector<SeccompArg>& args) {
  return std::ranges::any_of(args, [&](const SeccompArg& arg) {
    return std::ranges::count(args, arg.index, &SeccompArg::index) > 1;
  });
}

std::vector<scmp_arg_cmp> comparisons(const std::vector<SeccompArg>& args) {
  std::vector<scmp_arg_cmp> list;
  for (const auto& arg : args) list.push_back({arg.index, op_of(arg.op), arg.value, arg.value_two});
  return list;
}

int add_one(const Context& context, std::uint32_t action, int number,
            const std::vector<scmp_arg_cmp>& args) {
  return ::seccomp_rule_add_array(context.get(), action, number, static_cast<unsigned>(args.size()),
                                  args.data());
}

Result<void> add_rule(const Context& context, const SeccompRule& rule, std::uint32_t otherwise) {
  const auto action = action_of(rule.answer);
  if (action == otherwise) return {};
  const auto args = comparisons(rule.args);
  for (const auto& name : rule.names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    int done = 0;
    if (has_argument_twice(rule.args))
      for (const auto& arg : args)
        done = done != 0 ? done : add_one(context, action, number, {arg});
    else
      done = add_one(context, action, number, args);
    if (done != 0 && done != -EEXIST) return failed(concat("add a rule of ", name), done);
  }
  return {};
}

Result<std::vector<sock_filter>> program_of(const Context& context) {
  const Fd file(::memfd_create("filter", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("cannot make a file in memory");
  if (const int done = ::seccomp_export_bpf(context.get(), file.get()); done != 0)
    return failed("compile the filter", done);
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno("cannot look at a file in memory");
  std::vector<sock_filter> program(static_cast<std::size_t>(facts.st_size) / sizeof(sock_filter));
  const auto size = program.size() * sizeof(sock_filter);
  if (::pread(file.get(), program.data(), size, 0) != static_cast<ssize_t>(size))
    return fail_errno("cannot read a file in memory");
  return program;
}

}  // namespace

Result<SeccompFilter> compile_seccomp(const SeccompRules& rules) {
  const auto otherwise = action_of(rules.otherwise);
  const Context context(::seccomp_init(otherwise), ::seccomp_release);
  if (context == nullptr) return failed("begin with this default action", -EINVAL);
  TRY(add_architectures(context, rules));
  for (const auto& rule : rules.rules) TRY(add_rule(context, rule, otherwise));
  auto program = TRY(program_of(context));
  return SeccompFilter{.program = std::move(program), .flags = flags_of(rules)};
}

unsigned flags_of(const SeccompRules& rules) {
  const unsigned listener = rules.notifies() ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  return rules.flags | listener;
}

Result<Fd> install_seccomp(const SeccompFilter& filter) {
  auto* const first = const_cast<sock_filter*>(  // NOLINT(*-const-cast): as seccomp(2) takes it
      filter.program.data());
  sock_fprog program{.len = static_cast<unsigned short>(filter.program.size()), .filter = first};
  const long done = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program);
  if (done < 0) return fail_errno("cannot install the system call filter of linux.seccomp");
  const bool listens = (filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  return listens ? Fd(static_cast<int>(done)) : Fd{};
}

}  // namespace userns::frontend
