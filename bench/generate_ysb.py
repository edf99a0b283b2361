"""Writes the input of the Yahoo Streaming Benchmark: JSON events in files, and the table of ads.

usage: generate_ysb.py FOLDER EVENTS FILES
"""
import json
import os
import random
import sys
import uuid

AD_TYPES = ["banner", "modal", "sponsored-search", "mail", "mobile"]
EVENT_TYPES = ["view", "click", "purchase"]
START_MS = 1_700_000_000_000
STEP_MS = 10


def main(folder, events, files):
    rng = random.Random(2015)

    def ids(count):
        return [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(count)]

    campaigns, users, pages = ids(100), ids(100), ids(100)
    ads = ids(1000)
    os.makedirs(f"{folder}/events", exist_ok=True)
    os.makedirs(f"{folder}/ads", exist_ok=True)
    with open(f"{folder}/ads/ads.json", "w") as out:
        for index, ad in enumerate(ads):
            out.write(json.dumps({"ad_id": ad, "campaign_id": campaigns[index // 10]}) + "\n")
    per_file = events // files
    for number in range(files):
        with open(f"{folder}/events/part-{number:05}.json", "w") as out:
            lines = []
            for index in range(per_file):
                at = START_MS + (number * per_file + index) * STEP_MS
                lines.append(
                    f'{{"user_id":"{rng.choice(users)}","page_id":"{rng.choice(pages)}","ad_id":"{rng.choice(ads)}",'
                    f'"ad_type":"{rng.choice(AD_TYPES)}","event_type":"{rng.choice(EVENT_TYPES)}",'
                    f'"event_time":"{at}","ip_address":"1.2.3.4"}}\n'
                )
            out.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
