// Extended attributes of what is put into a container: which are taken, in which form, and setting
// them.
//
// Source: xattr(7), acl(5), capabilities(7) "File capabilities", the kernel's
// linux/posix_acl_xattr.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/error.h"

namespace userns::frontend {

struct Attribute {
  std::string name;
  std::string value;
};

inline constexpr const char* kCapability = "security.capability";
inline constexpr const char* kAccessAcl = "system.posix_acl_access";
inline constexpr const char* kDefaultAcl = "system.posix_acl_default";

// Whether an attribute means something inside and may be set there: user.*, file capabilities,
// POSIX ACLs. Labels of the host (security.selinux), trusted.* and what overlay file systems keep
// for themselves stay out.
bool is_taken(std::string_view name);

// A file capability that names the root of some namespace (of whoever made the archive) without
// that name: then the kernel takes it for one of the root who sets it. Any other value unchanged.
std::string without_namespace_root(std::string_view capability);

// The number of the namespace root in such a capability; 0 where there is none.
std::uint32_t namespace_root(std::string_view capability);
std::string with_namespace_root(std::string_view capability, std::uint32_t root);

struct AclEntry {
  std::uint16_t tag = 0;  // ACL_USER_OBJ .. ACL_OTHER of acl(5)
  std::uint16_t permissions = 0;
  std::uint32_t id = 0;  // of ACL_USER and ACL_GROUP
};
// The value of an ACL's attribute, in the order that the kernel wants.
std::string acl_value(std::vector<AclEntry> entries);
// The entries of such a value; empty where it is none.
std::vector<AclEntry> acl_entries(std::string_view value);

// Sets them on the open file. Returns how many the file system does not keep (user.* on a tmpfs,
// say).
Result<std::uint64_t> set_attributes(int file, const std::vector<Attribute>& attributes);
// What a file has, of those that are taken.
Result<std::vector<Attribute>> get_attributes(int file);
// Whether it is a directory of an overlay's layer that hides all of the layers below; makes it one.
// Source: the kernel's overlayfs, "user.overlay.opaque" of the option userxattr.
bool is_opaque(int directory);
Result<void> make_opaque(int directory);

}  // namespace userns::frontend
