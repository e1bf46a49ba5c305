#include "frontend/export/export_container.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/copy/producer.h"
#include "frontend/copy/tree.h"
#include "frontend/export/compressor.h"
#include "frontend/export/settings.h"
#include "frontend/rootfs/pack.h"
#include "frontend/run/signals.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 18U;

class Progress {
 public:
  explicit Progress(const ExportHow& how) : how_(how) {}
  void add(std::size_t bytes) {
    bytes_ += bytes;
    const auto now = std::chrono::steady_clock::now();
    if (!how_.on_progress || now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    how_.on_progress(bytes_);
  }

 private:
  const ExportHow& how_;
  std::uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point shown_;
};

Result<void> pack(const ContainerTree& tree, const Fd& out) {
  PackWhat what;
  what.below = "rootfs";
  const auto packed = tree.work([&](const Fd& root) -> Result<std::string> {
    const auto done = pack_with_tar(root, what, out);
    return done ? Result<std::string>("") : std::unexpected(done.error());
  });
  return packed ? Result<void>{} : std::unexpected(packed.error());
}

// False: a signal asks to end.
bool await(const Fd& in, const Signals& signals) {
  std::array polled{pollfd{.fd = in.get(), .events = POLLIN, .revents = 0},
                    pollfd{.fd = signals.fd().get(), .events = POLLIN, .revents = 0}};
  while (::poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) continue;
  return !signals.next();
}

Result<void> write_through(const Fd& in, Compressor& to, const ExportHow& how,
                           const Signals& signals) {
  Progress progress(how);
  std::vector<char> buffer(kPiece);
  while (true) {
    if (!await(in, signals)) return fail({}, "interrupted", EINTR);
    const auto count = TRY(read_some(in, buffer));
    if (count == 0) return to.finish();
    if (auto written = to.write(std::string_view(buffer.data(), count)); !written) return written;
    progress.add(count);
  }
}

Result<void> write_all_of(const ContainerTree& tree, const ConfigFile& config, const Fd& out,
                          const ExportHow& how) {
  auto to = TRY(Compressor::start(out, how.compress));
  const auto settings = settings_entry(config, tree.container().name());
  if (auto written = to.write(settings); !written) return written;
  auto producer = TRY(Producer::start([&](const Fd& pipe) { return pack(tree, pipe); }));
  const auto signals = TRY(Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  auto written = write_through(producer.output(), to, how, signals);
  if (!written && written.error().code == EINTR) return written;  // and the producer is ended
  const auto packed = producer.finish();
  if (!written && (packed || packed.error().code == EPIPE)) return written;
  return packed;
}

}  // namespace

Result<void> export_container(const Container& container, const Fd& out, const ExportHow& how) {
  const auto config = container.config();
  const auto tree = TRY(config ? ContainerTree::open(container) : std::unexpected(config.error()));
  if (tree.is_running())
    return fail({}, concat(container.name(), " is running, and its files change: userns-run stop ",
                           container.name(), " first"));
  return write_all_of(tree, *config, out, how);
}

}  // namespace userns::frontend
