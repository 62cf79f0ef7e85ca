# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What HAProxy answers to `show stat` and `show servers state`: a backend with five servers in as many states."""

from __future__ import annotations

# As HAProxy 2.6.12 says them; the columns that nobody reads are left out.
STAT = """# pxname,svname,qcur,scur,status,check_status,addr,used_conn_cur,idle_conn_cur,
front,FRONTEND,,3,OPEN,,,,,
application,app1,0,2,UP,L7OK,10.0.0.11:8080,1,2,
application,app2,1,3,UP 1/2,L4OK,10.0.0.12:8080,3,0,
application,app3,0,0,MAINT,,10.0.0.13:8080,0,0,
application,app4,0,1,DRAIN,L7OK,10.0.0.14:8080,0,0,
application,app5,0,0,DOWN,L4CON,10.0.0.15:8080,0,0,
application,BACKEND,0,5,UP,,,,,
"""
STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 application 1 app1 10.0.0.11 2 0 1
3 application 2 app2 10.0.0.12 2 0 1
3 application 3 app3 10.0.0.13 0 1 1
3 application 4 app4 10.0.0.14 2 8 1
3 application 5 app5 10.0.0.15 0 0 1
4 other 1 app1 10.0.0.11 0 1 1
"""
