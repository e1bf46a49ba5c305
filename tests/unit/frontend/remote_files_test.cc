#include "frontend/start/mounts/remote_files.h"

#include <gtest/gtest.h>

namespace userns::frontend {
namespace {

TEST(RemoteFiles, NetworkFileSystemsAreNamed) {
  EXPECT_EQ(remote_file_system(0x6969), "NFS");
  EXPECT_EQ(remote_file_system(0xff534d42), "SMB");
  EXPECT_EQ(remote_file_system(0xfe534d42), "SMB");
  EXPECT_EQ(remote_file_system(0xffffffffff534d42), "SMB");  // sign-extended
  EXPECT_EQ(remote_file_system(0x5346414f), "AFS");
}

TEST(RemoteFiles, LocalOnesAreNot) {
  EXPECT_EQ(remote_file_system(0xef53), "");      // ext4
  EXPECT_EQ(remote_file_system(0x01021994), "");  // tmpfs
  EXPECT_EQ(remote_file_system(0x794c7630), "");  // overlayfs
}

}  // namespace
}  // namespace userns::frontend
