// Puts a tar archive into an empty root file system, or the layers of an image one on top of the
// other.
//
// Runs inside (in_map()), as root of the ids. The archive is not trusted: what it names is reached
// by Walk and so never outside of the root; sizes are bounded; whatever cannot be done as the
// archive says is an error that names the entry, not a warning.
//
// Taken over: owners by number, modes, times, hard and symbolic links, fifos, holes of sparse
// files, user attributes, file capabilities, ACLs. Left out and counted: devices (nobody may make
// them here; a container has its own /dev), attributes that mean nothing inside or that the file
// system does not keep. An entry that comes again replaces the earlier one; a file can replace a
// directory, with all that is in it.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fd.h"
#include "frontend/rootfs/archive/cpu_budget.h"
#include "frontend/rootfs/archive/source.h"
#include "frontend/rootfs/archive/tar_reader.h"
#include "frontend/rootfs/archive/walk.h"
#include "frontend/rootfs/attributes.h"
#include "policy/error.h"

namespace userns::frontend {

// What an archive may become: bytes of data, with 4096 for each entry; entries. And how much CPU
// time that may take (cpu_budget.h).
struct UnpackLimits {
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  std::optional<std::chrono::seconds> cpu = {};
};
// Half of what is free where `directory` is, in bytes and in files.
UnpackLimits default_limits(const Fd& directory);

struct UnpackCounts {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;       // of data
  std::uint64_t devices = 0;     // left out
  std::uint64_t attributes = 0;  // left out
};

// An archive that is put into a directory in which there is something: what is there stays what it
// is, unless the archive has a file of the same name.
struct UnpackBeside {
  std::string below;       // a path from the top: where the names of the archive begin
  std::string first_name;  // takes the place of each entry's first name; empty: as the archive says
  // A link to a directory that is on the way, or in the place of a directory, is used (within the
  // top). Else a directory takes its place.
  bool keeps_links = false;
  bool enters_mounts = false;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;  // of all; none: the archive's
  // Nobody gets more than the files: no setuid bits, no attributes but user.*.
  bool plain = false;
};

class Unpacker {
 public:
  // `top`: the empty directory that becomes the root; open for reading; must live as long.
  // `on_progress` is called some ten times a second.
  Unpacker(const Fd& top, UnpackLimits limits,
           std::function<void(const UnpackCounts&)> on_progress);
  // `top` is the root of the tree that the place is in, and stays as it is.
  Unpacker(const Fd& top, UnpackLimits limits, UnpackBeside beside);

  // One archive. `layer`: names that begin with .wh. take away what earlier layers made (whiteouts
  // of the OCI image format).
  Result<void> add(Source& source, bool layer);
  // After the last one: the directories' owners, modes, attributes and times.
  Result<void> finish();
  [[nodiscard]] const UnpackCounts& counts() const { return counts_; }

 private:
  struct Owner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
  };
  struct Facts {
    Owner owner;
    unsigned mode = 0;
    timespec modified{};
    std::vector<Attribute> attributes;
  };
  using Place = std::pair<int, std::string>;  // a directory, a name in it

  [[nodiscard]] std::string placed(std::string_view path) const;
  [[nodiscard]] bool stays(const Names& names, const struct stat& there) const;
  Result<void> add_entry(TarReader& reader, archive_entry* entry, bool layer);
  Result<void> make(TarReader& reader, archive_entry* entry, const Names& names);
  Result<void> read_rest(TarReader& reader);
  Result<void> make_directory(const Names& names, const Place& place, Facts facts);
  Result<void> make_file(TarReader& reader, archive_entry* entry, const Place& place,
                         const Facts& facts);
  Result<void> make_link(archive_entry* entry, const Place& place, const Facts& facts);
  Result<void> make_fifo(const Place& place, const Facts& facts);
  Result<void> make_hard_link(archive_entry* entry, const Names& names);
  Result<void> make_socket_or_device(const Names& names, const Place& place);
  Result<void> write_data(TarReader& reader, const Fd& file, std::uint64_t size);
  Result<void> hide(const Names& names);
  Result<void> hide_below(const Names& names);
  Result<void> white_out(Names names);
  Result<void> clear(const Place& place);
  Result<Facts> facts_of(archive_entry* entry);
  Result<Owner> owner_of(archive_entry* entry) const;
  Result<void> dress(int file, const Facts& facts);
  Result<void> finish_directory(const std::string& path, const Facts& facts);
  Result<void> check_limits(const TarReader& reader);
  void show_progress();

  const Fd& top_;
  std::optional<UnpackBeside> beside_;
  Walk walk_;
  UnpackLimits limits_;
  CpuBudget cpu_;
  std::uint64_t read_before_ = 0;  // uncompressed bytes of the layers before this one
  UnpackCounts counts_;
  std::function<void(const UnpackCounts&)> on_progress_;
  std::chrono::steady_clock::time_point shown_;
  std::map<std::string, Facts>
      directories_;                 // by path; set at the end, when nothing is put in any more
  std::set<std::string> left_out_;  // paths of devices
  std::set<std::string> of_layer_;  // paths of this layer, which its whiteouts do not take away
  // Directories in which nothing of earlier layers is left. By inode: one directory has many names.
  std::set<ino_t> emptied_;
};

}  // namespace userns::frontend
