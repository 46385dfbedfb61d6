PRAGMA page_size = 4096;
BEGIN TRANSACTION;
CREATE TABLE positions (
  key TEXT PRIMARY KEY, position BLOB NOT NULL, updated REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "positions" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'7B22696E6F6465223A323137333137342C2268656164223A2251616E4251446C78593034576755526F222C22686561645F6279746573223A313032342C226F6666736574223A32393939332C226C696E65223A34317D',1.79546862257305192946e+09);
CREATE TABLE seen (
  key TEXT NOT NULL, digest BLOB NOT NULL, times INTEGER NOT NULL, serial INTEGER NOT NULL,
  PRIMARY KEY (key, digest)
) WITHOUT ROWID;
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'039FB4CECAD62FEEF4523BCA',1,16);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'05A8596FAEAECCC8558E80A9',1,17);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'0F21B5B9782298EF65399107',1,40);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'1A306CBC7254C213211B644A',1,12);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'1E4964F89C6E7373643F1765',1,26);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'23983422309E47D455AC6FA2',1,11);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'2DFBE6F2F0F9DAEE12A4D762',1,4);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'2F10A135330D470D48A25F3D',1,32);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'3846DC518BBEBA17C981BA5F',1,24);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'3D417CACDAE771192DA4A9CD',1,28);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'47614A8BCC3F506CB1B263CF',1,38);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'4ADFE5C0BBCCAB81CDE3C766',1,31);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'4C8219AF68239637B77A2BFE',1,3);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'523845704613F4DA7FBB68F6',1,36);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'5402DFEA50D5B85425D08B92',1,2);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'55AFC9D80F3BFC3EE7A21D4F',1,33);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'5712702200305886C39BE825',1,8);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'66EFDC82D1DBC9176C62A3EB',1,20);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'67C0E98DD15CC96D56CE1403',1,1);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'75496A41A323E73CC6BE7078',1,37);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'7FBB5BB309BC339CA208DA9F',1,22);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'831FB95CB32399EAB5F7A7BF',1,5);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'9132090D7219F42F510662E5',1,7);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'96A8DE3B319D3F3AF167F742',1,23);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'9E5C41F36718ADDD16D44A21',1,34);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'9FCBE8BD0435BB60059CF9A1',1,13);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'AA337A9066BD0BDCF04D7E12',1,14);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'AAF97ED583CCFFA34126F955',1,39);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'AF09FE9DC13B2F97D26E1F3D',1,21);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'B5385A08431076CA3CF354CF',1,9);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'B878B7D2C27025323A39B47F',1,30);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'C2E78549FEA6436FAA00FFB0',1,15);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'CA793C0D07DCA14BE79AE5FB',1,10);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'CB2BDED31530D2B3B3AE4E25',1,27);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'D3C25757F4B522D123640738',1,29);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'DF564C6AD6BC34E15390636F',1,18);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'E6EFE151F027A7C93CB0163C',1,19);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'EAD211F6EF80432A169B4DB5',1,6);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'F919409B5E77C36C11A68EA1',1,35);
INSERT INTO "seen" VALUES('ingest suricata-eve /tmp/dsmil-r-h7tenu17/eve.json',X'FCAF035821C9987B0CD05DD3',1,25);
CREATE INDEX seen_serial ON seen (key, serial);
COMMIT;
