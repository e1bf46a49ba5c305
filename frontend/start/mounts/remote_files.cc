#include "frontend/start/mounts/remote_files.h"

#include <linux/magic.h>

namespace userns::frontend {

std::string_view remote_file_system(std::uint64_t type) {
  // The kernel compares 32 bits; on some architectures f_type is wider and signed.
  switch (static_cast<std::uint32_t>(type)) {
    case NFS_SUPER_MAGIC:
      return "NFS";
    case SMB_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
      return "SMB";
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
      return "AFS";
    case CODA_SUPER_MAGIC:
      return "Coda";
    default:
      return {};
  }
}

}  // namespace userns::frontend
