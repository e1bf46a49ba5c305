#include "helpers/newidmap/run.h"

int main(int argc, char** argv) {
  return userns::newidmap::run(userns::newidmap::kUid, argc, argv);
}
