#include "frontend/rootfs/attributes.h"

#include <linux/capability.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "common/fd.h"
#include "policy/text.h"

namespace userns::frontend {
namespace {

constexpr std::uint32_t kAclVersion = 2;
constexpr std::uint16_t kUserTag = 0x02;
constexpr std::uint16_t kGroupTag = 0x08;
constexpr std::size_t kAclHeader = 4;
constexpr std::size_t kAclEntry = 8;
constexpr const char* kOpaque = "user.overlay.opaque";

// Both formats are little-endian everywhere.
void put_number(std::string& out, std::uint32_t number, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i) & 0xffU));
}
std::uint32_t number_at(std::string_view text, std::size_t at, unsigned bytes) {
  std::uint32_t number = 0;
  for (unsigned i = 0; i < bytes; ++i)
    number |= static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])) << (8 * i);
  return number;
}

std::string_view why(const Attribute& attribute, int code) {
  if (code == EINVAL && attribute.name == kCapability) return ": it is malformed";
  if (code == EINVAL) return ": it is malformed, or names an id that is not mapped inside";
  return {};
}

Result<std::string> value_of(int file, const char* name) {
  std::string value(256, '\0');
  while (true) {
    const auto length = ::fgetxattr(file, name, value.data(), value.size());
    if (length >= 0) {
      value.resize(static_cast<std::size_t>(length));
      return value;
    }
    if (errno != ERANGE) return fail_errno(concat("cannot read the attribute ", quoted(name)));
    value.resize(value.size() * 4);
  }
}

}  // namespace

bool is_taken(std::string_view name) {
  if (name.starts_with("user.")) return !name.starts_with("user.overlay.");
  return name == kCapability || name == kAccessAcl || name == kDefaultAcl;
}

std::string without_namespace_root(std::string_view capability) {
  if (capability.size() != XATTR_CAPS_SZ_3) return std::string(capability);
  const auto head = number_at(capability, 0, 4);
  if ((head & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3) return std::string(capability);
  std::string value;
  put_number(value, (head & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2, 4);
  return value.append(capability.substr(4, XATTR_CAPS_SZ_2 - 4));
}

std::uint32_t namespace_root(std::string_view capability) {
  return capability.size() == XATTR_CAPS_SZ_3 ? number_at(capability, XATTR_CAPS_SZ_2, 4) : 0;
}

std::string with_namespace_root(std::string_view capability, std::uint32_t root) {
  if (capability.size() != XATTR_CAPS_SZ_2 && capability.size() != XATTR_CAPS_SZ_3)
    return std::string(capability);
  std::string value;
  put_number(value, (number_at(capability, 0, 4) & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_3, 4);
  value.append(capability.substr(4, XATTR_CAPS_SZ_2 - 4));
  put_number(value, root, 4);
  return value;
}

std::string acl_value(std::vector<AclEntry> entries) {
  std::ranges::sort(entries, {},
                    [](const AclEntry& entry) { return std::tuple(entry.tag, entry.id); });
  std::string value;
  put_number(value, kAclVersion, 4);
  for (const auto& entry : entries) {
    const bool named = entry.tag == kUserTag || entry.tag == kGroupTag;
    put_number(value, entry.tag, 2);
    put_number(value, entry.permissions, 2);
    put_number(value, named ? entry.id : ~0U, 4);
  }
  return value;
}

std::vector<AclEntry> acl_entries(std::string_view value) {
  std::vector<AclEntry> entries;
  if (value.size() < kAclHeader || number_at(value, 0, 4) != kAclVersion) return entries;
  for (std::size_t at = kAclHeader; at + kAclEntry <= value.size(); at += kAclEntry)
    entries.push_back({.tag = static_cast<std::uint16_t>(number_at(value, at, 2)),
                       .permissions = static_cast<std::uint16_t>(number_at(value, at + 2, 2)),
                       .id = number_at(value, at + 4, 4)});
  return entries;
}

Result<std::uint64_t> set_attributes(int file, const std::vector<Attribute>& attributes) {
  std::uint64_t not_kept = 0;
  for (const auto& attribute : attributes) {
    if (::fsetxattr(file, attribute.name.c_str(), attribute.value.data(), attribute.value.size(),
                    0) == 0)
      continue;
    if (errno != EOPNOTSUPP)
      return fail_errno(
          concat("cannot set the attribute ", quoted(attribute.name), why(attribute, errno)));
    ++not_kept;
  }
  return not_kept;
}

Result<std::vector<Attribute>> get_attributes(int file) {
  std::vector<Attribute> attributes;
  std::string names(1024, '\0');
  ssize_t length = -1;
  while ((length = ::flistxattr(file, names.data(), names.size())) < 0) {
    if (errno == EOPNOTSUPP) return attributes;
    if (errno != ERANGE) return fail_errno("cannot list the attributes");
    names.resize(names.size() * 4);
  }
  std::string_view rest(names.data(), static_cast<std::size_t>(length));
  while (!rest.empty()) {
    const std::string name(take_until(rest, '\0'));
    if (!is_taken(name)) continue;
    auto value = value_of(file, name.c_str());
    if (!value && value.error().code == ENODATA) continue;  // taken away meanwhile
    if (!value) return std::unexpected(value.error());
    attributes.push_back({name, std::move(*value)});
  }
  return attributes;
}

bool is_opaque(int directory) {
  char value = 0;
  return ::fgetxattr(directory, kOpaque, &value, 1) == 1 && value == 'y';
}

Result<void> make_opaque(int directory) {
  if (::fsetxattr(directory, kOpaque, "y", 1, 0) == 0) return {};
  return fail_errno("cannot make it hide what is below");
}

}  // namespace userns::frontend
