#include "frontend/shift/blobs.h"

#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

namespace userns::shift {
namespace {

constexpr std::uint32_t kNoId = 0xffffffff;

std::uint32_t little(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i)
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

void put_little(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

constexpr std::size_t kAclHeader = sizeof(posix_acl_xattr_header);
constexpr std::size_t kAclEntry = sizeof(posix_acl_xattr_entry);
constexpr std::size_t kAclId = 4;  // where in an entry
static_assert(kAclHeader == 4 && kAclEntry == 8);
static_assert(XATTR_CAPS_SZ_2 == 20 && XATTR_CAPS_SZ_3 == 24);

}  // namespace

void Tally::add(const IdShift& shift, std::uint32_t id) {
  if (id == kNoId)
    ++unmapped;
  else if (shift.takes(id))
    ++taken;
  else if (shift.gives(id))
    ++given;
  else
    ++foreign;
}

Result<std::string> shift_acl(std::string_view blob, const Shift& shift, Tally& tally) {
  if (blob.size() < kAclHeader || (blob.size() - kAclHeader) % kAclEntry != 0)
    return fail({}, "its ACL has a length that no ACL has");
  if (little(blob, 0, 4) != POSIX_ACL_XATTR_VERSION)
    return fail({}, "its ACL is of a version that is not known here");
  std::string shifted(blob);
  for (std::size_t at = kAclHeader; at < blob.size(); at += kAclEntry) {
    const auto tag = little(blob, at, 2);
    if (tag != ACL_USER && tag != ACL_GROUP) continue;
    const auto& ids = tag == ACL_USER ? shift.uids : shift.gids;
    const auto id = little(blob, at + kAclId, 4);
    tally.add(ids, id);
    put_little(shifted, at + kAclId, ids.of(id));
  }
  return shifted;
}

Result<std::string> shift_capability(std::string_view blob, const IdShift& uids, Tally& tally) {
  const auto magic = blob.size() < 4 ? 0 : little(blob, 0, 4);
  const auto version = magic & VFS_CAP_REVISION_MASK;
  const bool is_two = version == VFS_CAP_REVISION_2 && blob.size() == XATTR_CAPS_SZ_2;
  const bool is_three = version == VFS_CAP_REVISION_3 && blob.size() == XATTR_CAPS_SZ_3;
  if (!is_two && !is_three)
    return fail({}, "its file capabilities are of a version that is not known here");
  const auto root = is_two ? 0 : little(blob, XATTR_CAPS_SZ_2, 4);
  tally.add(uids, root);
  const auto new_root = uids.of(root);
  std::string shifted(blob.substr(0, XATTR_CAPS_SZ_2));
  const auto flags = magic & ~static_cast<std::uint32_t>(VFS_CAP_REVISION_MASK);
  put_little(shifted, 0, flags | (new_root == 0 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3));
  if (new_root == 0) return shifted;
  shifted.resize(XATTR_CAPS_SZ_3);
  put_little(shifted, XATTR_CAPS_SZ_2, new_root);
  return shifted;
}

}  // namespace userns::shift
