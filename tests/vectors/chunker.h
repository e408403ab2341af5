/* chunker.h: borders that must never change: the BLAKE3 of the list of ends (32-bit,
 * little-endian) of generated inputs. tests/unit/test_chunker.c generates them. */
#ifndef VECTORS_CHUNKER_H
#define VECTORS_CHUNKER_H

#include <stdbool.h>
#include <stddef.h>
#include "acequia.h"

typedef struct chunker_vector {
    const char *name;
    int maker;
    aq_profile_id profile;
    bool blocks;
    size_t size;
    size_t count;
    const char *hash;
} chunker_vector;

static const chunker_vector chunker_vectors[] = {
    {"random", 0, AQ_PROFILE_STANDARD, false, 16777216, 9,
     "8275a0bdcbb26f4357fd30c4f4fee808cf4a983a58f42d9bb686f470b44ba90f"},
    {"words", 1, AQ_PROFILE_STANDARD, false, 16777216, 8,
     "ed6107d8b5337cbc514b4c03f7103f00d5e4ab22df726254b0b4a17f00df52a2"},
    {"counters", 2, AQ_PROFILE_STANDARD, false, 16777216, 9,
     "9c63046d1361cdd3fd77832caf875788f99f85cabf1311a703cbc5737b2bbf1b"},
    {"zeros", 3, AQ_PROFILE_STANDARD, false, 16777216, 2,
     "c9d28eae0d1204e5ac290775bb008ff174251af155f0ae8edffe94cb3e270ab8"},
    {"period", 4, AQ_PROFILE_STANDARD, false, 16777216, 4,
     "cdf7a7fa4b578694ccd878889d8c5db140d43038f8314b9226447d53e542d7ec"},
    {"random", 0, AQ_PROFILE_STANDARD, true, 2097152, 186,
     "0fc662ac45b378fe130d34fda21ef13db1d4a561d3beb9ab80ffacf934fd714a"},
    {"words", 1, AQ_PROFILE_STANDARD, true, 2097152, 190,
     "871a1a30880c8effbabe7485cdff9ed77dff32ba72b98df9e827de8246d63619"},
    {"counters", 2, AQ_PROFILE_STANDARD, true, 2097152, 247,
     "0742a48465ee7a6a52332012504731b9fd0b4c14436317d97b9fa412e46f5873"},
    {"zeros", 3, AQ_PROFILE_STANDARD, true, 2097152, 32,
     "41a887687acf51e2e06313315b0d1e6c3955c3dbd39f69bf66b1dfffadc28910"},
    {"period", 4, AQ_PROFILE_STANDARD, true, 2097152, 64,
     "e0cf951ac1fcf869b541c2eb2b75382543f2c84c9180848d5e47a97d69e7ed74"},
    {"random", 0, AQ_PROFILE_SMALL, false, 1000003, 3930,
     "1a0a8366588871750e2ff720645dd421cf0d487c7f696d6d8301973438078ed9"},
    {"words", 1, AQ_PROFILE_SMALL, false, 1000003, 3865,
     "89faaec8b97e132d811e85eaf328f8f5e4ecfad9f2adc3dbffcdafc9962ff8cd"},
    {"counters", 2, AQ_PROFILE_SMALL, false, 1000003, 4328,
     "1c0644dd96aca2960f63bc063d5eef92f8698dd80de4211be26f56634f37c86c"},
    {"zeros", 3, AQ_PROFILE_SMALL, false, 1000003, 977,
     "a1f87c3fe11a8c66c5ea836573043036cdefd32234fbed3eeb46d1cc3b5f390a"},
    {"period", 4, AQ_PROFILE_SMALL, false, 1000003, 4505,
     "dd147419d8cda1ae798445906d4b93d045bdd1499b6e354efd7203b1442c8f22"},
    {"random", 0, AQ_PROFILE_SMALL, true, 1000003, 46153,
     "3e55e554b80353cef0311559f239a220b64671e6306e9b4b669a2b164e95fdb2"},
    {"words", 1, AQ_PROFILE_SMALL, true, 1000003, 45909,
     "312882bade914efb15b5d37cc7d056f09e3caedc31e236c8d17ff7de0892b969"},
    {"counters", 2, AQ_PROFILE_SMALL, true, 1000003, 50587,
     "484831b335ded3fd3aea82ab6c31a18b073d3f9045fca8fe6525ea98511fa230"},
    {"zeros", 3, AQ_PROFILE_SMALL, true, 1000003, 7813,
     "16d3371c77a250e7c84f84b8775589600dcbdc8294a892fef955bc3039f62f93"},
    {"period", 4, AQ_PROFILE_SMALL, true, 1000003, 54054,
     "ee952c6a52863e32db5250cab30bfcf1722d1b98f49fae46f7f979cb04ea58a1"},
};

#endif
